"""The decoder's process is killed in the middle of answers: callers know at once, and it comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from eureka.errors import StageUnavailableError
from eureka.runtime.triton import TritonLauncher, model_processes
from eureka.types import CallContext, TextRequest
from tests.helpers.gateway_stack import Stack, running_stack
from tests.integration.conftest import NUM_SLOTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOLD_SECONDS = 8.0
"""Promised are about 5, for a machine that is not busy; the idle timeout of a stream is 10."""

BACK_SECONDS = 30.0
"""Promised are 15; a busy test machine gets twice that."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(
    triton: TritonLauncher, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("uploads")
    async with running_stack(triton.config.grpc_address, tiny_checkpoint, folder) as stack:
        yield stack


async def test_killed_decoder_ends_its_streams_at_once_and_serves_again(
    stack: Stack, triton: TritonLauncher
) -> None:
    begun = [asyncio.Event() for _ in range(NUM_SLOTS)]
    requests = [stack.long_request(seed) for seed in range(NUM_SLOTS)]
    running = [
        asyncio.create_task(_read(stack, request, event))
        for request, event in zip(requests, begun, strict=True)
    ]
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in begun)), 20)

    assert triton.pid is not None
    [process] = [found for found in model_processes(triton.pid) if found.model == "llm_decoder"]
    os.kill(process.pid, signal.SIGKILL)
    killed = time.monotonic()
    errors = await asyncio.gather(*running, return_exceptions=True)
    told_seconds = time.monotonic() - killed
    await asyncio.wait_for(_answered(stack), BACK_SECONDS)
    print(f"told after {told_seconds:.1f} s, back after {time.monotonic() - killed:.1f} s")

    assert all(isinstance(error, StageUnavailableError) for error in errors), errors
    assert {getattr(error, "reason", "") for error in errors} == {"MODEL_GONE"}
    assert told_seconds < TOLD_SECONDS


async def _read(stack: Stack, request: TextRequest, begun: asyncio.Event) -> None:
    context = CallContext("is-in-flight", deadline=time.monotonic() + 60)
    async for _ in stack.stages.generate(request, context):
        begun.set()


async def _answered(stack: Stack) -> None:
    """Ask until an answer comes."""
    while True:
        try:
            return await _read(stack, stack.long_request(9, max_new_tokens=2), asyncio.Event())
        except StageUnavailableError:
            await asyncio.sleep(0.1)
