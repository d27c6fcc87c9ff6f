"""Encoder and adapter services before a real Triton: both paths agree, killed models come back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.tensors import from_tensor, to_tensor
from eureka.errors import StageUnavailableError
from eureka.runtime.settings import load_settings
from eureka.runtime.settings_sections import StageSettings
from eureka.runtime.triton import TritonConfig, TritonLauncher, free_ports, model_processes
from eureka.stage.v1 import adapter_service_pb2 as adapter_pb2
from eureka.stage.v1 import adapter_service_pb2_grpc as adapter_grpc
from eureka.stage.v1 import encoder_service_pb2 as encoder_pb2
from eureka.stage.v1 import encoder_service_pb2_grpc as encoder_grpc
from services.adapter.main import build as build_adapter
from services.encoder.main import build as build_encoder
from services.stage import start_stage
from services.triton import open_triton

MODELS = ("audio_encoder", "moe_adapter", "audio_frontend")
PCM = to_tensor(np.random.default_rng(0).normal(0, 0.05, 24_000).astype(np.float32))

BACK_SECONDS = 30.0
"""Promised are 15; a busy test machine gets twice that."""


@pytest.fixture(scope="module")
def launcher(
    repo_root: Path, checkpoint_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonLauncher]:
    http, grpc_port, metrics = free_ports(3)
    config = TritonConfig(
        repo_root / "model_repo",
        tmp_path_factory.mktemp("triton") / "triton.log",
        MODELS,
        http,
        grpc_port,
        metrics,
        environment={"EUREKA_CHECKPOINT": str(checkpoint_folder)},
        # What a hanging process was asked never ends, so this server never ends by itself.
        stop_timeout_seconds=3,
    )
    try:
        started = TritonLauncher(config)
    except StageUnavailableError as error:
        pytest.skip(error.message)
    with started:
        yield started


@dataclass
class Stages:
    """Channels to both services."""

    encoder: grpc.aio.Channel
    adapter: grpc.aio.Channel

    async def frames(self) -> Any:
        stub = encoder_grpc.EncoderServiceStub(self.encoder)
        return (await stub.Encode(encoder_pb2.EncodeRequest(pcm=[PCM]), timeout=5)).encoder_frames

    async def embed(self) -> Any:
        stub = encoder_grpc.EncoderServiceStub(self.encoder)
        return (await stub.Embed(encoder_pb2.EmbedRequest(pcm=[PCM]), timeout=5)).audio_embeddings

    async def adapt(self, frames: Any) -> Any:
        stub = adapter_grpc.AdapterServiceStub(self.adapter)
        answer = await stub.Adapt(adapter_pb2.AdaptRequest(encoder_frames=frames), timeout=5)
        return answer.audio_embeddings


@pytest.fixture
async def stages(launcher: TritonLauncher, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stages]:
    for name in ("ENCODER", "ADAPTER"):
        monkeypatch.setenv(f"EUREKA_{name}__PORT", "0")
        monkeypatch.setenv(f"EUREKA_{name}__TRITON_TARGET", launcher.config.grpc_address)
    settings = load_settings()

    async def start(build: Callable[..., Any], section: StageSettings) -> grpc.aio.Channel:
        triton = await stack.enter_async_context(open_triton(section))
        running = await start_stage(build(triton, settings), section, settings)
        stack.push_async_callback(running.stop, 0.1)
        config = ChannelConfig(f"127.0.0.1:{running.server.port}")
        return await stack.enter_async_context(open_channel(config))

    async with AsyncExitStack() as stack:
        yield Stages(
            await start(build_encoder, settings.encoder), await start(build_adapter, settings.adapter)
        )


async def test_two_stages_and_the_fused_path_give_the_same(stages: Stages) -> None:
    two_stage = from_tensor(await stages.adapt(await stages.frames()))
    fused = from_tensor(await stages.embed())
    assert fused.shape[0] == 19  # 1.5 s in started 80 ms
    np.testing.assert_allclose(two_stage, fused, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "blow"),
    [("audio_encoder", signal.SIGKILL), ("moe_adapter", signal.SIGKILL), ("audio_encoder", signal.SIGSTOP)],
)
async def test_model_that_is_killed_or_hangs_is_back_with_the_fused_path(
    stages: Stages, launcher: TritonLauncher, model: str, blow: signal.Signals
) -> None:
    before = from_tensor(await stages.embed())
    await asyncio.sleep(0.3)  # the supervisors have seen what is served
    assert launcher.pid is not None
    [process] = [found for found in model_processes(launcher.pid) if found.model == model]
    os.kill(process.pid, blow)
    try:
        embeddings = await _first_answer(stages.embed)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)  # a stopped one would hold up the end of the server
    np.testing.assert_array_equal(from_tensor(embeddings), before)
    await stages.adapt(await stages.frames())


async def _first_answer(ask: Callable[[], Any]) -> Any:
    async with asyncio.timeout(BACK_SECONDS):
        while True:
            try:
                return await ask()
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.1)
