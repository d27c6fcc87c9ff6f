"""What the roots of all stages share: settings to configurations, and one run from start to signal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import grpc

from eureka.errors import EurekaError
from eureka.runtime.grpc_server import (
    RunningServer,
    ServerConfig,
    ServerTls,
    serve_until_signal,
    start_server,
)
from eureka.runtime.health import HealthMonitor
from eureka.runtime.interceptors import AnswerInterceptor, standard_interceptors
from eureka.runtime.logging import configure_logging
from eureka.runtime.metrics import Metrics, MetricsServer, serve_metrics
from eureka.runtime.settings import Settings, load_settings
from eureka.runtime.settings_sections import StageSettings, TlsSettings, check_tls
from eureka.runtime.supervisor import ModelSupervisor
from eureka.spans import NO_TRACER, Tracer


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage service, ready to start.

    Attributes:
        component: encoder, adapter or decoder.
        service: full name of its gRPC service.
        model_methods: names of the methods that a model answers.
        register: adds its servicer.
        monitor: its health.
        supervisor: watches its model.
        metrics: of the component.
        tracer: makes the spans of its calls.
    """

    component: str
    service: str
    model_methods: tuple[str, ...]
    register: Callable[[grpc.aio.Server], None]
    monitor: HealthMonitor
    supervisor: ModelSupervisor
    metrics: Metrics
    tracer: Tracer = NO_TRACER


@dataclass(frozen=True, slots=True)
class RunningStage:
    """A stage that listens.

    Attributes:
        server: its gRPC server.
        metrics_server: its metrics port.
    """

    server: RunningServer
    metrics_server: MetricsServer

    async def stop(self, grace_seconds: float | None = None) -> None:
        """Stop both."""
        await self.server.stop(grace_seconds)
        self.metrics_server.stop()


async def start_stage(stage: Stage, section: StageSettings, settings: Settings) -> RunningStage:
    """Start gRPC server, metrics port and supervisor of a stage.

    Raises:
        WrongStateError: PORT_IN_USE; nothing stays open.
    """
    stage.metrics.show_ready(lambda: stage.monitor.is_ready)
    with ExitStack() as opened:
        metrics_server = serve_metrics(
            stage.metrics.registry, section.host, section.metrics_port, shares_port=section.shares_port
        )
        opened.callback(metrics_server.stop)
        server = await _start_server(stage, section, settings)
        opened.pop_all()
    server.run_beside(stage.supervisor.run())
    return RunningStage(server, metrics_server)


async def _start_server(stage: Stage, section: StageSettings, settings: Settings) -> RunningServer:
    methods = [f"/{stage.service}/{method}" for method in stage.model_methods]
    return await start_server(
        server_config(section, settings),
        stage.register,
        services=[stage.service],
        monitor=stage.monitor,
        interceptors=standard_interceptors(
            metrics=stage.metrics,
            max_concurrent=section.max_concurrent,
            answers=AnswerInterceptor((stage.monitor, stage.supervisor), methods),
            trusts_tenant=True,
            tracer=stage.tracer,
        ),
    )


async def run_stage(running: RunningStage) -> None:
    """Serve until a signal, then stop."""
    await serve_until_signal(running.server)
    running.metrics_server.stop()


def server_config(section: StageSettings, settings: Settings) -> ServerConfig:
    """How a stage listens."""
    return ServerConfig(
        host=section.host,
        port=section.port,
        tls=server_tls(settings.tls),
        max_message_bytes=settings.max_message_bytes,
        drain_seconds=section.drain_seconds,
        grace_seconds=section.grace_seconds,
        shares_port=section.shares_port,
    )


def server_tls(tls: TlsSettings) -> ServerTls | None:
    """TLS of servers; None without a certificate."""
    check_tls(tls)
    if tls.certificate is None or tls.key is None:
        return None
    return ServerTls(tls.certificate, tls.key, tls.client_ca)


def run_root(serve: Callable[[Settings], Coroutine[Any, Any, None]]) -> int:
    """Read the settings, set up logging, serve; the exit status. What stops a start is one line on stderr."""
    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        asyncio.run(serve(settings))
    except EurekaError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
