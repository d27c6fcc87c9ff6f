"""The local stack under load for long: memory does not grow, readiness does not flip (make chaos)."""

from __future__ import annotations

import asyncio
import io
import time
import wave
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.gateway_async import AsyncGatewayClient
from eureka.clients.gateway_types import ChatTurn, RetryPolicy
from eureka.errors import QueueFullError
from eureka.types import SAMPLE_RATE_HZ, SamplingParams
from tests.helpers.stack_user import StackUser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NUM_WARM_REQUESTS, NUM_REQUESTS = 200, 2_000
MAX_GROWTH = 0.10
NUM_CALLERS = 8
NEW_TOKENS = 4
AUDIO_SECONDS = 0.2

FULL_SECONDS = 600.0
"""How long the queue is kept full."""

NUM_FULL_STREAMS = 80
"""Above the 64 calls that a stage takes at a time, so that some are refused all the while."""

FULL_NEW_TOKENS = 512
REFUSED_PAUSE_SECONDS = 0.2

SERVICES = ("gateway", "encoder", "adapter", "decoder")


@dataclass
class Streams:
    """What became of the streams that kept the queue full.

    Attributes:
        num_finals: answers with their end.
        endings: how they ended.
        num_refused: calls that found the queue full.
    """

    num_finals: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    num_refused: int = 0


@pytest.fixture(scope="module")
def running(user: StackUser) -> Iterator[StackUser]:
    user.run("up", "--detach")
    yield user


async def test_memory_after_2000_requests_is_that_after_200(running: StackUser) -> None:
    gateway = running.components()["gateway"]["address"]
    async with AsyncGatewayClient(gateway) as client:
        await _transcribe_many(client, NUM_WARM_REQUESTS)
        warm = _memory(running)
        await _transcribe_many(client, NUM_REQUESTS - NUM_WARM_REQUESTS)
    now = _memory(running)
    growth = {name: now[name] / warm[name] - 1 for name in warm}
    for name, share in growth.items():
        print(
            f"{name:22} {warm[name] / 2**20:7.1f} MiB after 200, {now[name] / 2**20:7.1f} now ({share:+.1%})"
        )
    assert {name: share for name, share in growth.items() if share > MAX_GROWTH} == {}


async def test_full_queue_flips_no_readiness_and_restarts_nothing(running: StackUser) -> None:
    before = running.components()
    streams = Streams()
    seen: dict[str, list[int]] = {name: [] for name in SERVICES}
    async with AsyncExitStack() as stack:
        for name in SERVICES:
            await stack.enter_async_context(_watched(before[name]["address"], seen[name]))
        client = await stack.enter_async_context(
            AsyncGatewayClient(before["gateway"]["address"], retry=RetryPolicy(max_attempts=1))
        )
        until = time.monotonic() + FULL_SECONDS
        await asyncio.gather(*(_keep_asking(client, streams, until) for _ in range(NUM_FULL_STREAMS)))
        await client.transcribe(_wav(AUDIO_SECONDS))
    print(streams, {name: len(statuses) for name, statuses in seen.items()})
    assert streams.num_refused > 0, "the queue was never full"
    assert streams.num_finals > 0 and set(streams.endings) <= {"stop", "length", "repetition"}
    assert seen == {name: [health_pb2.HealthCheckResponse.SERVING] for name in SERVICES}
    pids = {name: one["pid"] for name, one in before.items()}
    assert {name: one["pid"] for name, one in running.components().items()} == pids


async def _transcribe_many(client: AsyncGatewayClient, count: int) -> None:
    """So many requests with tiny audio, a few at a time."""
    audio, left = _wav(AUDIO_SECONDS), iter(range(count))

    async def caller() -> None:
        for _ in left:
            await client.transcribe(audio, sampling=SamplingParams(NEW_TOKENS))

    await asyncio.gather(*(caller() for _ in range(NUM_CALLERS)))


async def _keep_asking(client: AsyncGatewayClient, streams: Streams, until: float) -> None:
    """One long answer after another; exactly one end each, or a refusal."""
    while time.monotonic() < until:
        try:
            ends = [delta.end async for delta in client.generate(_turns(), sampling=_long()) if delta.end]
        except QueueFullError:
            streams.num_refused += 1
            await asyncio.sleep(REFUSED_PAUSE_SECONDS)
            continue
        (end,) = ends
        streams.num_finals += 1
        streams.endings[end.ending.value.lower()] += 1


@asynccontextmanager
async def _watched(address: str, seen: list[int]) -> AsyncIterator[None]:
    """Every readiness that the server tells inside the block; a connection that breaks is an error."""

    async def watch() -> None:
        async with open_channel(ChannelConfig(address)) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
                seen.append(answer.status)

    watching = asyncio.create_task(watch())
    try:
        yield
        assert not watching.done(), f"{address} stopped telling its health"
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _memory(user: StackUser) -> dict[str, int]:
    """Resident bytes by component; those of services with their children."""
    return {
        name: sum(process.memory_info().rss for process in _processes(name, one["pid"]))
        for name, one in user.components().items()
        if one["pid"] is not None
    }


def _processes(name: str, pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)] if name in SERVICES else [process]


def _turns() -> list[ChatTurn]:
    return [
        ChatTurn("user", ("hello",)),
        ChatTurn("assistant", ("hello",)),
        ChatTurn("user", ("tell me more",)),
    ]


def _long() -> SamplingParams:
    """No token twice, nor one of the prompt, in which the end token is: the answer goes on for long."""
    return SamplingParams(FULL_NEW_TOKENS, repetition_penalty=1_000.0)


def _wav(seconds: float) -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(1).uniform(-0.1, 0.1, round(seconds * SAMPLE_RATE_HZ))
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
        writer.writeframes((samples * 32_767).astype("<i2").tobytes())
    return file.getvalue()
