"""Root of the decoder service."""

from __future__ import annotations

import functools
from typing import Protocol

from eureka.engine.messages import LLM_DECODER
from eureka.runtime.health import HealthMonitor
from eureka.runtime.metrics import new_metrics
from eureka.runtime.settings import Settings
from eureka.runtime.supervisor import ModelRepository, ModelSupervisor, SupervisorTimes
from eureka.runtime.tracing import open_tracer
from eureka.spans import NO_TRACER, Tracer
from eureka.stage.v1 import decoder_service_pb2, decoder_service_pb2_grpc
from services.decoder.checkpoint import TextCheckpoint, read_checkpoint
from services.decoder.servicer import DecoderModel, DecoderServicer
from services.stage import Stage, run_root, run_stage, start_stage
from services.triton import Probing, open_triton, supervised

SERVICE = decoder_service_pb2.DESCRIPTOR.services_by_name["DecoderService"].full_name


class DecoderTriton(DecoderModel, ModelRepository, Probing, Protocol):
    """All that this service asks of its Triton."""


def build(
    triton: DecoderTriton, checkpoint: TextCheckpoint, settings: Settings, tracer: Tracer = NO_TRACER
) -> Stage:
    """The service over `triton`; its supervisor asks for a tiny generation where traffic does not."""
    metrics = new_metrics("decoder")
    monitor = HealthMonitor(None, [SERVICE])
    supervisor = ModelSupervisor(
        triton,
        supervised(triton, LLM_DECODER.name),
        readiness=monitor,
        times=SupervisorTimes(busy_timeout_seconds=settings.decoder.busy_timeout_seconds),
        on_reload=metrics.record_model_reload,
    )
    servicer = DecoderServicer(triton, checkpoint, metrics)
    add = functools.partial(decoder_service_pb2_grpc.add_DecoderServiceServicer_to_server, servicer)
    return Stage("decoder", SERVICE, ("Generate", "Score"), add, monitor, supervisor, metrics, tracer)


async def serve(settings: Settings) -> None:
    """Serve until a signal."""
    checkpoint = read_checkpoint(settings.checkpoint, settings.numerics)
    with open_tracer(settings.tracing.config(), "decoder") as tracer:
        async with open_triton(settings.decoder, tracer) as triton:
            stage = build(triton, checkpoint, settings, tracer)
            await run_stage(await start_stage(stage, settings.decoder, settings))


def main() -> int:
    """Run the service; the exit status."""
    return run_root(serve)
