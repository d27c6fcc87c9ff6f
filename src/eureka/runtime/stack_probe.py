"""What the supervisor and `eureka status` ask of components: their health, and one real inference."""

from __future__ import annotations

import io
import wave
from typing import Any, cast

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from eureka.api.v1 import audio_service_pb2, audio_service_pb2_grpc, content_pb2
from eureka.clients.channels import ChannelConfig, ChannelTls, open_channel
from eureka.errors import StageUnavailableError
from eureka.types import SAMPLE_RATE_HZ

HEALTH_SECONDS = 2.0
"""Time in which a server says how it is; it needs milliseconds."""

INFERENCE_SECONDS = 60.0
"""Time for one second of audio, on a machine that has just loaded all models."""

_AMPLITUDE = 0.05
"""About -29 dB of full scale: far above what counts as silence, which would not reach the model."""


async def is_serving(address: str, tls: ChannelTls | None = None, service: str = "") -> bool:
    """Whether the server at `address` is ready by its own health; False also when nobody is there.

    Args:
        address: host:port.
        tls: of the channel.
        service: a name of its health service; empty is its readiness.
    """
    async with open_channel(ChannelConfig(address, tls)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=HEALTH_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def prove_inference(address: str, tls: ChannelTls | None = None, key: str = "") -> None:
    """Have a second of noise transcribed.

    A gateway that asks for keys where we have none is believed: its readiness rests on an inference too.

    Raises:
        StageUnavailableError: reason NO_INFERENCE; what the gateway said.
    """
    request = audio_service_pb2.TranscribeRequest(
        audio=content_pb2.Audio(content=noise_wav()),
        sampling=content_pb2.SamplingParams(max_new_tokens=1),
    )
    metadata = (("authorization", f"Bearer {key}"),) if key else ()
    async with open_channel(ChannelConfig(address, tls)) as channel:
        stub = cast(Any, audio_service_pb2_grpc).AudioServiceStub(channel)  # generated, without types
        try:
            await stub.Transcribe(request, timeout=INFERENCE_SECONDS, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                message = f"{error.code().name}: {error.details()}"
                raise StageUnavailableError(message, reason="NO_INFERENCE") from error


def noise_wav() -> bytes:
    """One second of seeded noise as a WAV file."""
    samples = np.random.default_rng(0).uniform(-_AMPLITUDE, _AMPLITUDE, SAMPLE_RATE_HZ)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes((samples * 32_767).astype("<i2").tobytes())
    return file.getvalue()
