"""What the local stack consists of: components with their commands, ports and environment.

Nothing is started here. Every port moves to a free one when its own is busy, only the gateway's does not:
callers know it, so a busy one is an error.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from eureka.errors import NotFoundError, WrongStateError
from eureka.runtime.settings import Settings
from eureka.runtime.settings_sections import TlsSettings

GATEWAY, TRITON, DECODER = "gateway", "triton", "decoder"
REDIS, WORKER = "redis", "worker"

STAGES = ("encoder", "adapter", DECODER)

LOOPBACK = "127.0.0.1"
"""Where Triton listens."""

_FOLDERS_OF_CHECKOUT = ("services", "model_repo", "workers")


@dataclass(frozen=True, slots=True)
class Component:
    """One child process of the stack.

    Attributes:
        name: gateway, encoder, adapter, decoder, decoder-2, triton, redis, worker, worker-2.
        command: program and arguments; empty for Triton, whose launcher knows them.
        address: host:port of its server; empty for a worker, which asks and is not asked.
        metrics: host:port of its metrics; empty for Redis.
        environment: what it gets beside the supervisor's own.
        shares_port: a new process of it may listen beside the old one, so that it is replaced without a gap.
    """

    name: str
    command: tuple[str, ...]
    address: str
    metrics: str
    environment: Mapping[str, str] = field(default_factory=dict)
    shares_port: bool = False


@dataclass(frozen=True, slots=True)
class StackPlan:
    """All components, in the order in which they start.

    Attributes:
        root: folder in which services run, so that they can be imported.
        components: Triton first, the gateway last.
        triton_ports: http, grpc, metrics.
    """

    root: Path
    components: tuple[Component, ...]
    triton_ports: tuple[int, int, int]

    @property
    def gateway(self) -> Component:
        """The component that callers know."""
        return next(component for component in self.components if component.name == GATEWAY)


class PortChooser:
    """Gives out ports that are free and were not given out before."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def near(self, host: str, port: int) -> int:
        """`port` where it is free, else any free one; 0 asks for any."""
        if port == 0 or port in self._given or is_busy(host, port):
            port = self._any(host)
        self._given.add(port)
        return port

    def exactly(self, host: str, port: int, variable: str) -> int:
        """`port`, or any free one for 0.

        Raises:
            WrongStateError: reason PORT_IN_USE; `variable` is named as the way out.
        """
        if port and is_busy(host, port):
            message = (
                f"port {port} of {host} is in use by another program; set {variable} (0 picks a free one)"
            )
            raise WrongStateError(message, reason="PORT_IN_USE")
        return self.near(host, port)

    def _any(self, host: str) -> int:
        while True:
            with _socket(host) as probe:
                probe.bind((host.strip("[]"), 0))
                port: int = probe.getsockname()[1]
            if port not in self._given:
                return port


def is_busy(host: str, port: int) -> bool:
    """Whether somebody listens at the port."""
    with _socket(host) as probe:
        # Connections of an earlier server that have not timed out yet keep nobody from listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError:
            return True
    return False


def plan_stack(
    settings: Settings, root: Path, num_decoders: int | None = None, redis_server: str | None = None
) -> StackPlan:
    """The stack that the settings describe, with ports that are free now.

    Args:
        settings: of the supervisor.
        root: of the checkout.
        num_decoders: decoder services; None takes the setting.
        redis_server: program of the queue; None leaves the queue and its workers out.

    Raises:
        NotFoundError: reason NO_CHECKOUT; services/ and model_repo/ are not there.
        WrongStateError: reason PORT_IN_USE; the gateway's port is busy.
    """
    check_checkout(root)
    ports = PortChooser()
    gateway = settings.gateway
    gateway_port = ports.exactly(gateway.host, gateway.port, "EUREKA_GATEWAY__PORT")
    triton = settings.triton
    http, grpc, metrics = (
        ports.near(LOOPBACK, port) for port in (triton.http_port, triton.grpc_port, triton.metrics_port)
    )
    stages = _plan_stages(settings, ports, num_decoders or settings.stack.decoders)
    targets = {
        "EUREKA_GATEWAY__PORT": str(gateway_port),
        "EUREKA_GATEWAY__METRICS_PORT": str(ports.near(gateway.metrics_host, gateway.metrics_port)),
        **_targets(stages),
        **_plain_text(settings.tls),
    }
    redis, workers = plan_jobs(settings, ports, redis_server, targets)
    targets |= queue_environment(redis)
    shared = {f"EUREKA_{stage.upper()}__TRITON_TARGET": _address(LOOPBACK, grpc) for stage in STAGES}
    metrics_port = int(targets["EUREKA_GATEWAY__METRICS_PORT"])
    components = (
        Component(TRITON, (), _address(LOOPBACK, grpc), _address(LOOPBACK, metrics)),
        *redis,
        *(_with(stage, shared) for stage in stages),
        *workers,
        Component(
            GATEWAY,
            _module("services.gateway"),
            _address(gateway.host, gateway_port),
            _address(gateway.metrics_host, metrics_port),
            {**targets, "EUREKA_GATEWAY__SHARES_PORT": "true"},
            shares_port=True,
        ),
    )
    return StackPlan(root, components, (http, grpc, metrics))


def plan_jobs(
    settings: Settings, ports: PortChooser, redis_server: str | None, targets: Mapping[str, str]
) -> tuple[list[Component], list[Component]]:
    """The queue and its workers; nothing without redis-server, or where no worker is wanted."""
    if redis_server is None or settings.stack.workers == 0:
        return [], []
    port = ports.near(LOOPBACK, settings.stack.redis_port)
    data = settings.stack.folder / "redis"
    redis = [Component(REDIS, redis_command(redis_server, port, data), _address(LOOPBACK, port), "")]
    section, workers = settings.worker, []
    for number in range(1, settings.stack.workers + 1):
        name = WORKER if number == 1 else f"{WORKER}-{number}"
        metrics = ports.near(section.metrics_host, section.metrics_port)
        own = {"EUREKA_WORKER__NAME": name, "EUREKA_WORKER__METRICS_PORT": str(metrics)}
        environment = {**targets, **queue_environment(redis), **own}
        address = _address(section.metrics_host, metrics)
        workers.append(Component(name, _module("workers"), "", address, environment))
    return redis, workers


def redis_command(program: str, port: int, data: Path) -> tuple[str, ...]:
    """A Redis that keeps what it was told over its own death, but for the last second."""
    return (
        *(program, "--port", str(port), "--bind", LOOPBACK, "--dir", str(data)),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
    )


def queue_environment(redis: Sequence[Component]) -> dict[str, str]:
    """Where gateway and workers find the queue of the stack; nothing without one."""
    return queue_at(redis[0].address) if redis else {}


def queue_at(address: str) -> dict[str, str]:
    """The settings that name a stack's queue."""
    return {"EUREKA_QUEUE__URL": f"redis://{address}/0", "EUREKA_QUEUE__KEY_PREFIX": "eureka:"}


def check_checkout(root: Path) -> None:
    """Refuse to start from an installed wheel, which holds neither services nor models.

    Raises:
        NotFoundError: reason NO_CHECKOUT.
    """
    missing = [name for name in _FOLDERS_OF_CHECKOUT if not (root / name).is_dir()]
    if missing:
        message = (
            f"the stack runs from a checkout or an image: there is no {' and no '.join(missing)} in {root}"
        )
        raise NotFoundError(message, reason="NO_CHECKOUT")


def reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens at `host`."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "[::1]"


def _plan_stages(settings: Settings, ports: PortChooser, num_decoders: int) -> list[Component]:
    sections = {"encoder": settings.encoder, "adapter": settings.adapter, DECODER: settings.decoder}
    names = ["encoder", "adapter", DECODER, *(f"{DECODER}-{i}" for i in range(2, num_decoders + 1))]
    stages = []
    for name in names:
        kind = name.partition("-")[0]
        section = sections[kind]
        port = ports.near(section.host, section.port)
        metrics = ports.near(section.host, section.metrics_port)
        own = {
            f"EUREKA_{kind.upper()}__PORT": str(port),
            f"EUREKA_{kind.upper()}__METRICS_PORT": str(metrics),
            f"EUREKA_{kind.upper()}__SHARES_PORT": "true",
        }
        address, shown = _address(section.host, port), _address(section.host, metrics)
        stages.append(Component(name, _module(f"services.{kind}"), address, shown, own, shares_port=True))
    return stages


def _targets(stages: list[Component]) -> dict[str, str]:
    """Where the gateway finds each stage; several instances with commas."""
    return {
        f"EUREKA_GATEWAY__{kind.upper()}_TARGET": ",".join(
            stage.address for stage in stages if stage.name.partition("-")[0] == kind
        )
        for kind in STAGES
    }


def _plain_text(tls: TlsSettings) -> dict[str, str]:
    """Stages without a certificate speak plain text; a root_ca alone is for gateways elsewhere."""
    return {"EUREKA_TLS__ROOT_CA": ""} if tls.certificate is None else {}


def _with(stage: Component, shared: Mapping[str, str]) -> Component:
    return replace(stage, environment={**shared, **stage.environment})


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name)


def _address(host: str, port: int) -> str:
    return f"{reachable(host)}:{port}"


def _socket(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)
