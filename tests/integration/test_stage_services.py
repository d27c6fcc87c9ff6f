"""Encoder and adapter services over a small Triton of numpy, and as processes of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.metadata import metadata_of
from eureka.clients.status import error_of
from eureka.clients.tensors import from_tensor, to_tensor
from eureka.errors import QueueFullError, StageUnavailableError
from eureka.runtime.settings import Settings, load_settings
from eureka.stage.v1 import adapter_service_pb2 as adapter_pb2
from eureka.stage.v1 import adapter_service_pb2_grpc as adapter_grpc
from eureka.stage.v1 import encoder_service_pb2 as encoder_pb2
from eureka.stage.v1 import encoder_service_pb2_grpc as encoder_grpc
from eureka.stage.v1.tensor_pb2 import Tensor
from eureka.types import SAMPLES_PER_AUDIO_TOKEN, CallContext, Pcm
from services.adapter.main import build as build_adapter
from services.encoder.main import build as build_encoder
from services.stage import RunningStage, start_stage

WIDTH = 3
SECOND = 16_000


class SmallTriton:
    """Frames are sums of 320 samples; embeddings are means of 4 frames."""

    def __init__(self) -> None:
        self.loaded = {"audio_encoder", "moe_adapter", "audio_frontend"}
        self.dead: set[str] = set()
        self.is_full = False
        self.deadlines: list[float | None] = []
        self.items: list[Pcm] = []

    async def infer_frames(self, items: Sequence[Pcm], deadline: float | None = None) -> NDArray[Any]:
        await self.probe("audio_encoder")
        self.items, self.deadlines = list(items), [*self.deadlines, deadline]
        padded = [np.pad(item, (0, -len(item) % SAMPLES_PER_AUDIO_TOKEN)) for item in items]
        sums = np.concatenate(padded).reshape(-1, SAMPLES_PER_AUDIO_TOKEN // 4).sum(axis=1)
        return np.repeat(sums[:, None], WIDTH, axis=1).astype(np.float32)

    async def adapt(self, frames: NDArray[Any], deadline: float | None = None) -> NDArray[Any]:
        await self.probe("moe_adapter")
        means: NDArray[Any] = frames.reshape(-1, 4, frames.shape[1]).mean(axis=1)
        return means

    async def embed(self, items: Sequence[Pcm], deadline: float | None = None) -> NDArray[Any]:
        return await self.adapt(await self.infer_frames(items, deadline), deadline)

    async def probe(self, model: str) -> None:
        if self.is_full:
            raise QueueFullError("Triton's queue is full")
        if model in self.dead or model not in self.loaded:
            raise StageUnavailableError("stub process is not healthy", reason="MODEL_GONE")

    def end_calls(self, model: str) -> None: ...

    async def ready(self, model: str) -> bool:
        return model in self.loaded

    async def load(self, model: str) -> None:
        self.loaded.add(model)
        self.dead.discard(model)

    async def unload(self, model: str) -> None:
        self.loaded -= {model, "audio_frontend"}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("EUREKA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EUREKA_ENCODER__PORT", "0")
    monkeypatch.setenv("EUREKA_ADAPTER__PORT", "0")
    return load_settings()


@asynccontextmanager
async def _open(running: RunningStage) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(ChannelConfig(f"127.0.0.1:{running.server.port}")) as channel:
        yield channel
    await running.stop(0.1)


@asynccontextmanager
async def _encoder(triton: SmallTriton, settings: Settings) -> AsyncIterator[grpc.aio.Channel]:
    async with _open(
        await start_stage(build_encoder(triton, settings), settings.encoder, settings)
    ) as channel:
        yield channel


async def _reason(call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, error_of(caught.value).reason


async def _until(channel: grpc.aio.Channel, wanted: int, seconds: float = 5.0) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    async with asyncio.timeout(seconds):
        while (await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)).status != wanted:
            await asyncio.sleep(0.05)


async def test_encoder_scales_int16_and_joins_items(settings: Settings) -> None:
    triton = SmallTriton()
    quiet, loud = np.full(100, 0.25, np.float32), np.full(1280, -32768, np.int16)
    async with _encoder(triton, settings) as channel:
        request = encoder_pb2.EncodeRequest(pcm=[to_tensor(quiet), to_tensor(loud)])
        stub = encoder_grpc.EncoderServiceStub(channel)
        answer = await stub.Encode(request, timeout=5, metadata=metadata_of(CallContext("r")))
    frames = from_tensor(answer.encoder_frames)
    assert frames.shape == (8, WIDTH)
    np.testing.assert_array_equal(triton.items[1], np.full(1280, -1.0, np.float32))
    np.testing.assert_array_equal(frames[:, 0], [25, 0, 0, 0, -320, -320, -320, -320])
    assert answer.stage_durations[0].stage == "encode"
    [deadline] = triton.deadlines
    assert deadline is not None
    assert time.monotonic() < deadline < time.monotonic() + 5


async def test_two_stages_give_what_the_fused_path_gives(settings: Settings) -> None:
    triton = SmallTriton()
    pcm = [to_tensor(np.linspace(-1, 1, 5000, dtype=np.float32))]
    adapter = await start_stage(build_adapter(triton, settings), settings.adapter, settings)
    async with _encoder(triton, settings) as channel, _open(adapter) as adapter_channel:
        encoder = encoder_grpc.EncoderServiceStub(channel)
        frames = (await encoder.Encode(encoder_pb2.EncodeRequest(pcm=pcm))).encoder_frames
        request = adapter_pb2.AdaptRequest(encoder_frames=frames)
        two_stage = await adapter_grpc.AdapterServiceStub(adapter_channel).Adapt(request)
        fused = await encoder.Embed(encoder_pb2.EmbedRequest(pcm=pcm))
    assert two_stage.audio_embeddings == fused.audio_embeddings
    assert list(fused.audio_embeddings.shape) == [4, WIDTH]


@pytest.mark.parametrize(
    ("pcm", "reason"),
    [
        ([], "EMPTY_AUDIO"),
        ([to_tensor(np.zeros(0, np.int16))], "EMPTY_AUDIO"),
        ([to_tensor(np.zeros((2, 2), np.int16))], "INVALID_TENSOR"),
        ([to_tensor(np.zeros(4, np.float16))], "INVALID_TENSOR"),
        ([to_tensor(np.array([0, np.nan], np.float32))], "INVALID_TENSOR"),
        ([Tensor(data=b"abc", shape=[2])], "INVALID_TENSOR"),
        ([to_tensor(np.zeros(150 * SECOND + 1, np.int16))] * 2, "AUDIO_TOO_LONG"),
    ],
)
async def test_encoder_refuses_pcm_that_it_cannot_serve(
    settings: Settings, pcm: list[Tensor], reason: str
) -> None:
    async with _encoder(SmallTriton(), settings) as channel:
        stub = encoder_grpc.EncoderServiceStub(channel)
        for call in (
            stub.Encode(encoder_pb2.EncodeRequest(pcm=pcm)),
            stub.Embed(encoder_pb2.EmbedRequest(pcm=pcm)),
        ):
            assert await _reason(call) == ("INVALID_ARGUMENT", reason)


@pytest.mark.parametrize("shape", [(0, 3), (3, 3), (4,), (4, 0), (4, 1, 3)])
async def test_adapter_refuses_frames_of_another_shape(settings: Settings, shape: tuple[int, ...]) -> None:
    running = await start_stage(build_adapter(SmallTriton(), settings), settings.adapter, settings)
    async with _open(running) as channel:
        request = adapter_pb2.AdaptRequest(encoder_frames=to_tensor(np.zeros(shape, np.float32)))
        call = adapter_grpc.AdapterServiceStub(channel).Adapt(request)
        assert await _reason(call) == ("INVALID_ARGUMENT", "INVALID_TENSOR")


async def test_embed_without_the_fused_model_says_so(settings: Settings) -> None:
    triton = SmallTriton()
    triton.loaded = {"audio_encoder"}
    async with _encoder(triton, settings) as channel:
        request = encoder_pb2.EmbedRequest(pcm=[to_tensor(np.zeros(10, np.int16))])
        call = encoder_grpc.EncoderServiceStub(channel).Embed(request)
        assert await _reason(call) == ("FAILED_PRECONDITION", "EMBED_NOT_SERVED")


async def test_full_queue_is_told_at_once_and_keeps_readiness(settings: Settings) -> None:
    triton = SmallTriton()
    async with _encoder(triton, settings) as channel:
        await _until(channel, health_pb2.HealthCheckResponse.SERVING)
        triton.is_full = True
        request = encoder_pb2.EncodeRequest(pcm=[to_tensor(np.zeros(10, np.int16))])
        started = time.monotonic()
        call = encoder_grpc.EncoderServiceStub(channel).Encode(request)
        assert await _reason(call) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
        assert time.monotonic() - started < 0.5
        await asyncio.sleep(2)
        await _until(channel, health_pb2.HealthCheckResponse.SERVING, 0.5)


async def test_model_that_dies_is_back_within_seconds(settings: Settings) -> None:
    triton = SmallTriton()
    async with _encoder(triton, settings) as channel:
        await _until(channel, health_pb2.HealthCheckResponse.SERVING)
        triton.dead.add("audio_encoder")
        stub = encoder_grpc.EncoderServiceStub(channel)
        request = encoder_pb2.EmbedRequest(pcm=[to_tensor(np.zeros(10, np.int16))])
        async with asyncio.timeout(10):
            while True:
                try:
                    await stub.Embed(request)
                    break
                except grpc.aio.AioRpcError as error:
                    assert error_of(error).reason == "MODEL_GONE"
                    await asyncio.sleep(0.05)
        assert triton.loaded == {"audio_encoder", "moe_adapter", "audio_frontend"}


@pytest.mark.parametrize("name", ["encoder", "adapter"])
async def test_service_without_triton_lives_unready_and_ends_on_sigterm(name: str, repo_root: Path) -> None:
    port = _free_port()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("EUREKA_")},
        f"EUREKA_{name.upper()}__PORT": str(port),
        f"EUREKA_{name.upper()}__TRITON_TARGET": f"127.0.0.1:{_free_port()}",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"services.{name}",
        cwd=repo_root,
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with open_channel(ChannelConfig(f"127.0.0.1:{port}")) as channel:
            await _until(channel, health_pb2.HealthCheckResponse.NOT_SERVING, 30)
            stub = health_pb2_grpc.HealthStub(channel)
            alive = await stub.Check(health_pb2.HealthCheckRequest(service="liveness"))
            assert alive.status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        _, stderr = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, stderr.decode()
    assert b"triton_away" in stderr
    assert b"Traceback" not in stderr


def _free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
