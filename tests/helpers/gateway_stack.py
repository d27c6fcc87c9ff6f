"""All services in this process over a real Triton, and the same checkpoint heard without them."""

from __future__ import annotations

import asyncio
import io
import re
import time
import urllib.request
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import audio_service_pb2_grpc as api_grpc
from eureka.api.v1 import content_pb2 as content
from eureka.api.v1 import model_service_pb2_grpc
from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.stages import StageClients
from eureka.engine.engine import Engine
from eureka.engine.reference import ReferenceBackend
from eureka.engine.reference_parts import reference_embedder
from eureka.model.weights import load_checkpoint
from eureka.pipeline.engine_decoder import EngineDecoder
from eureka.pipeline.listener import Listener
from eureka.pipeline.options import ListenerSettings
from eureka.runtime.settings import Settings
from eureka.runtime.stages import open_stages
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import Instruction, Pcm, SamplingParams, Task, TextPart, TextRequest, Turn
from services.adapter.main import build as build_adapter
from services.decoder.checkpoint import read_checkpoint
from services.decoder.main import build as build_decoder
from services.encoder.main import build as build_encoder
from services.gateway.main import RunningGateway, start_gateway
from services.stage import start_stage
from services.triton import open_triton


@dataclass
class Caller:
    """Stubs of one gateway.

    Attributes:
        gateway: the running server.
        audio: AudioService.
        models: ModelService.
        settings: that it runs with.
    """

    gateway: RunningGateway
    audio: Any
    models: Any
    settings: Settings


@dataclass
class Stack:
    """Everything that runs.

    Attributes:
        fused: a gateway that embeds by one call.
        two_stage: one that embeds by two.
        stages: clients of the stages, which embed by one call.
        two_stage_stages: the same, which embed by two.
        listener: the same checkpoint in this process.
        end_id: end of an answer.
    """

    fused: Caller
    two_stage: Caller
    stages: StageClients
    two_stage_stages: StageClients
    listener: Listener
    end_id: int

    def long_request(self, seed: int, max_new_tokens: int = 3_500) -> TextRequest:
        """One whose answer takes some seconds: its end is banned, which the API cannot do."""
        sampling = SamplingParams(max_new_tokens, temperature=1.0, seed=seed, ban_token_ids=(self.end_id,))
        turns = (Turn("user", (TextPart("tell me more"),)),)
        return TextRequest(Instruction(Task.ASK, turns=turns), np.zeros((0, 0), np.float32), sampling)


@asynccontextmanager
async def running_stack(
    triton_address: str, checkpoint: Path, folder: Path, **gateway: Any
) -> AsyncIterator[Stack]:
    """Stages, and two gateways that are ready; `gateway` is their section of the settings."""
    async with AsyncExitStack() as stack:
        settings = stack_settings(checkpoint, triton_address)
        targets = await started_stages(stack, settings)
        section = {"port": 0, "upload_folder": folder, **targets, **gateway}
        stages = [
            open_stages(Settings(gateway={**section, "embedding_path": path}))
            for path in ("fused", "two_stage")
        ]
        for each in stages:
            stack.push_async_callback(each.close)
        callers = [
            await _caller(stack, settings.model_copy(update=_section(section, path)))
            for path in ("fused", "two_stage")
        ]
        listener, end_id = own_listener(checkpoint)
        yield Stack(*callers, *stages, listener, end_id)


def stack_settings(checkpoint: Path, triton_address: str, **more: Any) -> Settings:
    """Settings of the stages: ports that are free, one Triton."""
    stage = {"port": 0, "triton_target": triton_address}
    return Settings(checkpoint=checkpoint, encoder=stage, adapter=stage, decoder=stage, **more)


def own_listener(checkpoint: Path) -> tuple[Listener, int]:
    """The checkpoint in this process, and its end token."""
    model, _ = load_checkpoint(checkpoint)
    tokenizer = Tokenizer.from_folder(checkpoint)
    penalty = model.config.repetition_penalty
    engine = Engine(ReferenceBackend(model.backbone, 1), tokenizer.end_id, repetition_penalty=penalty)
    decoder = EngineDecoder(engine, tokenizer, PromptBuilder(tokenizer, model.config))
    settings = ListenerSettings(model.config.name, model.config.best_window_seconds)
    return Listener(reference_embedder(model), decoder, settings), tokenizer.end_id


def noise(seconds: float, seed: int = 0) -> Pcm:
    """Pcm as a 16-bit file holds it."""
    samples = np.random.default_rng(seed).normal(0, 0.1, round(16_000 * seconds)).clip(-1, 1)
    return (np.round(samples * 32_767) / 32_768).astype(np.float32)


def wav(*channels: Pcm) -> bytes:
    """A 16-bit file of the channels."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((len(channels), 2, 16_000, 0, "NONE", ""))
        writer.writeframes((np.stack(channels, axis=1) * 32_768).astype("<i2").tobytes())
    return file.getvalue()


def silent_flac(seconds: float) -> bytes:
    """A small file with much audio in it."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as output:
        stream = output.add_stream("flac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, round(16_000 * seconds)), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = 16_000, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()


def inline(*channels: Pcm, **channel: Any) -> content.Audio:
    """Audio inside a message."""
    chosen = content.Channel(**channel) if channel else None
    return content.Audio(content=wav(*channels), channel=chosen)


def user(*parts: str | content.Audio) -> content.Turn:
    """A turn of the caller."""
    return content.Turn(
        role=content.ROLE_USER,
        parts=[
            content.Part(text=part) if isinstance(part, str) else content.Part(audio=part) for part in parts
        ],
    )


def conversation(*parts: str | content.Audio) -> list[content.Turn]:
    """One turn."""
    return [user(*parts)]


def metrics_at(address: str) -> dict[str, float]:
    """All metrics of ours, by name with labels."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as reply:
        lines = re.findall(r"^(eureka_\S+) (\S+)$", reply.read().decode(), re.MULTILINE)
    return {_short(name): float(value) for name, value in lines}


def _short(name: str) -> str:
    """Without the label that all metrics of Triton's models have."""
    return name.replace('{component="triton"}', "").replace('component="triton",', "")


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


async def started_stages(stack: AsyncExitStack, settings: Settings) -> dict[str, str]:
    """Start the stages, ended by `stack`; where they listen."""
    triton = await stack.enter_async_context(open_triton(settings.decoder))
    stages = {
        "encoder": (build_encoder(triton, settings), settings.encoder),
        "adapter": (build_adapter(triton, settings), settings.adapter),
        "decoder": (
            build_decoder(triton, read_checkpoint(settings.checkpoint), settings),
            settings.decoder,
        ),
    }
    targets = {}
    for name, (stage, section) in stages.items():
        running = await start_stage(stage, section, settings)
        stack.push_async_callback(running.stop, 0.0)
        targets[f"{name}_target"] = f"127.0.0.1:{running.server.port}"
    return targets


def _section(section: dict[str, Any], path: str) -> dict[str, Any]:
    return {"gateway": Settings(gateway={**section, "embedding_path": path}).gateway}


async def _caller(stack: AsyncExitStack, settings: Settings) -> Caller:
    gateway = await start_gateway(settings)
    stack.push_async_callback(gateway.stop, 0.0)
    channel = open_channel(ChannelConfig(f"127.0.0.1:{gateway.server.port}"))
    stack.push_async_callback(channel.close)
    await asyncio.wait_for(gateway.served.wait(), 10)
    await until(lambda: gateway.server.monitor.is_ready)
    audio = api_grpc.AudioServiceStub(channel)
    return Caller(gateway, audio, model_service_pb2_grpc.ModelServiceStub(channel), settings)


@asynccontextmanager
async def another_gateway(caller: Caller, **gateway: Any) -> AsyncIterator[Caller]:
    """One more gateway over the same stages, with other settings."""
    section = caller.settings.gateway.model_copy(update=gateway)
    async with AsyncExitStack() as stack:
        yield await _caller(stack, caller.settings.model_copy(update={"gateway": section}))


async def upload(caller: Caller, data: bytes, chunk_bytes: int = 1 << 16, **call: Any) -> api.UploadResponse:
    """Upload a file."""

    async def requests() -> AsyncIterator[api.UploadRequest]:
        yield api.UploadRequest(config=api.UploadConfig(display_name="a file"))
        for start in range(0, len(data), chunk_bytes):
            yield api.UploadRequest(data=data[start : start + chunk_bytes])

    response: api.UploadResponse = await caller.audio.Upload(requests(), **call)
    return response
