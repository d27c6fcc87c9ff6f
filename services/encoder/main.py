"""Root of the encoder service."""

from __future__ import annotations

import functools
from typing import Protocol

from eureka.engine.messages import AUDIO_ENCODER, AUDIO_FRONTEND
from eureka.runtime.health import HealthMonitor
from eureka.runtime.metrics import new_metrics
from eureka.runtime.settings import Settings
from eureka.runtime.supervisor import ModelRepository, ModelSupervisor, SupervisorTimes
from eureka.runtime.tracing import open_tracer
from eureka.spans import NO_TRACER, Tracer
from eureka.stage.v1 import encoder_service_pb2, encoder_service_pb2_grpc
from services.encoder.servicer import EncoderModels, EncoderServicer
from services.stage import Stage, run_root, run_stage, start_stage
from services.triton import Probing, open_triton, supervised

SERVICE = encoder_service_pb2.DESCRIPTOR.services_by_name["EncoderService"].full_name


class EncoderTriton(EncoderModels, ModelRepository, Probing, Protocol):
    """All that this service asks of its Triton."""


def build(triton: EncoderTriton, settings: Settings, tracer: Tracer = NO_TRACER) -> Stage:
    """The service over `triton`."""
    metrics = new_metrics("encoder")
    monitor = HealthMonitor(None, [SERVICE])
    supervisor = ModelSupervisor(
        triton,
        supervised(triton, AUDIO_ENCODER.name),
        readiness=monitor,
        dependents=(supervised(triton, AUDIO_FRONTEND.name),),
        times=SupervisorTimes(busy_timeout_seconds=settings.encoder.busy_timeout_seconds),
        on_reload=metrics.record_model_reload,
    )
    servicer = EncoderServicer(triton, settings.encoder.max_audio_seconds, metrics)
    add = functools.partial(encoder_service_pb2_grpc.add_EncoderServiceServicer_to_server, servicer)
    return Stage("encoder", SERVICE, ("Encode", "Embed"), add, monitor, supervisor, metrics, tracer)


async def serve(settings: Settings) -> None:
    """Serve until a signal."""
    with open_tracer(settings.tracing.config(), "encoder") as tracer:
        async with open_triton(settings.encoder, tracer) as triton:
            stage = build(triton, settings, tracer)
            await run_stage(await start_stage(stage, settings.encoder, settings))


def main() -> int:
    """Run the service; the exit status."""
    return run_root(serve)
