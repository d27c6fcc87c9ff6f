"""A small AudioService whose calls do what their fields ask for, and how to start it with the scaffold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from eureka import errors
from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import audio_service_pb2_grpc as api_grpc
from eureka.clients.channels import ChannelConfig, open_channel
from eureka.runtime.calls import current_call
from eureka.runtime.grpc_server import RunningServer, ServerConfig, start_server
from eureka.runtime.health import HealthMonitor, HealthTimes
from eureka.types import CallContext

SERVICE = api.DESCRIPTOR.services_by_name["AudioService"].full_name


@dataclass
class EchoAudioService(api_grpc.AudioServiceServicer):
    """Ask raises the error that `model` names; Generate streams until `release`; Upload counts bytes."""

    release: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[CallContext] = field(default_factory=list)
    was_cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def Ask(self, request: api.AskRequest, context: Any) -> api.AskResponse:
        self.seen.append(current_call())
        if request.model == "ValueError":
            raise ValueError("password=hunter2")
        if request.model:
            name, _, reason = request.model.partition(":")
            raise getattr(errors, name)(f"this is {name}", reason=reason or None)
        return api.AskResponse(text=current_call().tenant)

    async def Transcribe(self, request: api.TranscribeRequest, context: Any) -> api.TranscribeResponse:
        return api.TranscribeResponse(model=str(len(request.audio.content)))

    async def Classify(self, request: api.ClassifyRequest, context: Any) -> api.ClassifyResponse:
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise
        return api.ClassifyResponse()

    async def Generate(
        self, request: api.GenerateRequest, context: Any
    ) -> AsyncIterator[api.GenerateResponse]:
        yield api.GenerateResponse(text="one")
        if request.model:
            raise getattr(errors, request.model)("in the middle")
        await self.release.wait()
        yield api.GenerateResponse(text="two")

    async def Upload(self, requests: AsyncIterator[api.UploadRequest], context: Any) -> api.UploadResponse:
        sizes = [len(request.data) async for request in requests]
        if not sizes:
            raise errors.InvalidInputError("no message", reason="NO_CONFIG")
        return api.UploadResponse(size_bytes=sum(sizes), upload=current_call().tenant)


@dataclass
class Serving:
    """A running server with its service and a channel to it."""

    running: RunningServer
    service: EchoAudioService
    channel: grpc.aio.Channel

    @property
    def stub(self) -> api_grpc.AudioServiceStub:
        return api_grpc.AudioServiceStub(self.channel)


@asynccontextmanager
async def serving(
    interceptors: Any,
    *,
    config: ServerConfig | None = None,
    monitor: HealthMonitor | None = None,
    tls: Any = None,
    max_message_bytes: int = 64 << 20,
) -> AsyncIterator[Serving]:
    """A server in this event loop on a free port."""
    service = EchoAudioService()
    running = await start_server(
        config or ServerConfig(),
        lambda server: api_grpc.add_AudioServiceServicer_to_server(service, server),
        services=[SERVICE],
        monitor=monitor or quick_monitor(),
        interceptors=interceptors,
    )
    target = f"localhost:{running.port}"
    channel = open_channel(ChannelConfig(target, tls=tls, max_message_bytes=max_message_bytes))
    try:
        yield Serving(running, service, channel)
    finally:
        await channel.close()
        await running.stop(0.1)


def quick_monitor(probe: Any = None, max_silence_seconds: float = 0.3) -> HealthMonitor:
    """A monitor that follows within tenths of a second."""
    times = HealthTimes(
        max_silence_seconds, probe_after_seconds=0.1, probe_timeout_seconds=0.1, beat_seconds=0.02
    )
    return HealthMonitor(probe, [SERVICE], times)
