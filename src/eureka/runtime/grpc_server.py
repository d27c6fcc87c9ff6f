"""The scaffold of every gRPC server: port, TLS, limits, health, reflection, graceful stop.

    server = await start_server(config, register, interceptors=..., monitor=..., services=...)
    await serve_until_signal(server)

A signal turns readiness off first, then lets running calls end within a grace period, then stops.

A server that shares its port takes over from another process without a gap: it listens only once it is ready,
beside the other one, which stops listening when it is told to end. From then on the port is its own.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from eureka.clients.channels import MAX_MESSAGE_BYTES
from eureka.errors import InvalidInputError, WrongStateError
from eureka.runtime.health import HealthMonitor

logger = logging.getLogger(__name__)

_CANCEL_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ServerTls:
    """PEM files of a server.

    Attributes:
        certificate: the server's certificate chain.
        key: its private key.
        client_ca: whose clients are let in; None asks for no client certificate.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where a server listens and how it treats connections.

    Attributes:
        host: address or name; an IPv6 address in brackets.
        port: 0 picks a free one.
        tls: None is plain text.
        max_message_bytes: largest message in either direction.
        max_connection_age_seconds: after it clients are asked to connect again, so that they see new pods.
        max_connection_age_grace_seconds: for calls that still run on such a connection.
        keepalive_seconds: silence after which a client is tried.
        keepalive_timeout_seconds: time to answer that.
        drain_seconds: between readiness off and refusing calls, for balancers to notice.
        grace_seconds: for running calls at a stop.
        shares_port: other processes of ours may listen at the port, too; it listens once it is ready, by
            `serve_until_signal`, and the port must not be 0.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls: ServerTls | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_connection_age_seconds: float = 300.0
    max_connection_age_grace_seconds: float = 600.0
    keepalive_seconds: float = 30.0
    keepalive_timeout_seconds: float = 10.0
    drain_seconds: float = 0.0
    grace_seconds: float = 30.0
    shares_port: bool = False


@dataclass(slots=True)
class RunningServer:
    """A server that listens, or will once it is ready.

    Attributes:
        server: gRPC's own.
        port: the bound port.
        monitor: its health.
    """

    server: grpc.aio.Server
    port: int
    monitor: HealthMonitor
    config: ServerConfig
    is_listening: bool = False
    _background: list[asyncio.Task[None]] = field(default_factory=list)

    async def listen(self) -> None:
        """Listen; nothing where it does.

        Raises:
            WrongStateError: reason PORT_IN_USE.
            InvalidInputError: reason UNREADABLE_CERTIFICATE.
        """
        if self.is_listening:
            return
        self.port = _bind(self.server, self.config)
        await self.server.start()
        self.is_listening = True
        extra = {"host": self.config.host, "port": self.port, "has_tls": self.config.tls is not None}
        logger.info("server_started", extra=extra)

    def run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until the server stops; an error in it is logged and does not end the server."""
        self._background.append(asyncio.create_task(_logged(work)))

    async def stop(self, grace_seconds: float | None = None) -> None:
        """Readiness off, wait for balancers, let running calls end within the grace period, stop."""
        await self.monitor.drain()
        await asyncio.sleep(self.config.drain_seconds)
        await self.server.stop(self.config.grace_seconds if grace_seconds is None else grace_seconds)
        await asyncio.gather(*map(_ended, self._background))


async def start_server(
    config: ServerConfig,
    register: Callable[[grpc.aio.Server], None],
    *,
    services: Sequence[str],
    monitor: HealthMonitor,
    interceptors: Sequence[grpc.aio.ServerInterceptor[Any, Any]] = (),
) -> RunningServer:
    """A server that listens, with its services, health and reflection.

    Args:
        config: where and how.
        register: adds the servicers.
        services: full names of what `register` adds, for reflection.
        monitor: health; its loop runs beside the server.
        interceptors: outermost first.

    Raises:
        WrongStateError: reason PORT_IN_USE.
        InvalidInputError: reason UNREADABLE_CERTIFICATE.
    """
    server = grpc.aio.server(interceptors=list(interceptors), options=server_options(config))
    register(server)
    health_pb2_grpc.add_HealthServicer_to_server(monitor.servicer, server)
    health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    reflection.enable_server_reflection((*services, health_name, reflection.SERVICE_NAME), server)
    running = RunningServer(server, config.port, monitor, config)
    if not config.shares_port:
        await running.listen()
    running.run_beside(monitor.run())
    return running


async def serve_until_signal(
    running: RunningServer, signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)
) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully; works as PID 1 too. A second one ends at once.

    Raises:
        WrongStateError, InvalidInputError: as `RunningServer.listen`, where the server shares its port.
    """
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for name in signals:
        loop.add_signal_handler(name, stopping.set)
    if await _before(stopping, running.monitor.until_ready()):
        await running.listen()
        await stopping.wait()
    for name in signals:
        loop.remove_signal_handler(name)
    logger.info("server_stopping", extra={"port": running.port})
    await running.stop()


def server_options(config: ServerConfig) -> list[tuple[str, Any]]:
    """gRPC's options of a server."""
    return [
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_connection_age_ms", int(config.max_connection_age_seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", int(config.max_connection_age_grace_seconds * 1000)),
        ("grpc.keepalive_time_ms", int(config.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", int(config.keepalive_timeout_seconds * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        # Clients keep idle connections alive; the default would close them for pinging too often.
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        # Where nobody takes over, a second server would start and take half of the connections.
        ("grpc.so_reuseport", int(config.shares_port)),
    ]


def _bind(server: grpc.aio.Server, config: ServerConfig) -> int:
    address = f"{config.host}:{config.port}"
    credentials = None if config.tls is None else _credentials(config.tls)
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise _port_in_use(address) from error
    if port == 0:
        raise _port_in_use(address)
    return port


def _credentials(tls: ServerTls) -> grpc.ServerCredentials:
    pair = (_pem(tls.key), _pem(tls.certificate))
    client_ca = None if tls.client_ca is None else _pem(tls.client_ca)
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)


def _pem(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise InvalidInputError(message, reason="UNREADABLE_CERTIFICATE") from error


def _port_in_use(address: str) -> WrongStateError:
    return WrongStateError(f"cannot listen at {address}: in use, or not ours", reason="PORT_IN_USE")


async def _before(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Await `work` unless a stop comes first; whether it came to its end."""
    task, stop = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        return task.done()
    finally:
        for one in (task, stop):
            one.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel until it ends: wait_for of Python 3.11 loses a cancellation that meets the end of its wait."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_SECONDS)


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        logger.exception("background_work_failed")
