"""Root of the adapter service."""

from __future__ import annotations

import functools
from typing import Protocol

from eureka.engine.messages import AUDIO_FRONTEND, MOE_ADAPTER
from eureka.runtime.health import HealthMonitor
from eureka.runtime.metrics import new_metrics
from eureka.runtime.settings import Settings
from eureka.runtime.supervisor import ModelRepository, ModelSupervisor, SupervisorTimes
from eureka.runtime.tracing import open_tracer
from eureka.spans import NO_TRACER, Tracer
from eureka.stage.v1 import adapter_service_pb2, adapter_service_pb2_grpc
from services.adapter.servicer import AdapterModels, AdapterServicer
from services.stage import Stage, run_root, run_stage, start_stage
from services.triton import Probing, open_triton, supervised

SERVICE = adapter_service_pb2.DESCRIPTOR.services_by_name["AdapterService"].full_name


class AdapterTriton(AdapterModels, ModelRepository, Probing, Protocol):
    """All that this service asks of its Triton."""


def build(triton: AdapterTriton, settings: Settings, tracer: Tracer = NO_TRACER) -> Stage:
    """The service over `triton`."""
    metrics = new_metrics("adapter")
    monitor = HealthMonitor(None, [SERVICE])
    supervisor = ModelSupervisor(
        triton,
        supervised(triton, MOE_ADAPTER.name),
        readiness=monitor,
        dependents=(supervised(triton, AUDIO_FRONTEND.name),),
        times=SupervisorTimes(busy_timeout_seconds=settings.adapter.busy_timeout_seconds),
        on_reload=metrics.record_model_reload,
    )
    add = functools.partial(
        adapter_service_pb2_grpc.add_AdapterServiceServicer_to_server, AdapterServicer(triton, metrics)
    )
    return Stage("adapter", SERVICE, ("Adapt",), add, monitor, supervisor, metrics, tracer)


async def serve(settings: Settings) -> None:
    """Serve until a signal."""
    with open_tracer(settings.tracing.config(), "adapter") as tracer:
        async with open_triton(settings.adapter, tracer) as triton:
            stage = build(triton, settings, tracer)
            await run_stage(await start_stage(stage, settings.adapter, settings))


def main() -> int:
    """Run the service; the exit status."""
    return run_root(serve)
