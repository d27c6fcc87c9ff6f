"""Channels to gateway and stages: addresses, TLS, balancing, keepalive, retries.

One HTTP/2 connection would pin one pod: names are resolved to all their addresses and calls go round.
Channels must not exist before a fork; build them in the process that uses them.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from eureka.api.v1 import audio_service_pb2, job_service_pb2, model_service_pb2
from eureka.errors import InvalidInputError
from eureka.stage.v1 import adapter_service_pb2, decoder_service_pb2, encoder_service_pb2

MAX_MESSAGE_BYTES = 64 << 20
"""64 MiB at both ends; 300 s of encoder frames in float16 are 37 MiB."""

_FILES: tuple[Any, ...] = (
    audio_service_pb2,
    model_service_pb2,
    job_service_pb2,
    encoder_service_pb2,
    adapter_service_pb2,
    decoder_service_pb2,
)

_RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}
"""Five attempts, gRPC's most, over some two seconds: enough for servers that leave one after another on a
busy machine, no storm where all are away. CANCELLED is how a server that stops answers calls that it had not
taken; what we cancel is not repeated."""


@dataclass(frozen=True, slots=True)
class ChannelTls:
    """PEM files of a client.

    Attributes:
        root_certificates: who is trusted; None takes gRPC's own list.
        private_key: the client's key, where the server asks for a certificate.
        certificate_chain: the client's certificate, likewise.
    """

    root_certificates: Path | None = None
    private_key: Path | None = None
    certificate_chain: Path | None = None


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Where a channel leads and how it behaves.

    Attributes:
        target: host:port, several of them with commas (addresses only), or a gRPC target with its scheme.
        tls: files of a secure channel; None is plain text.
        max_message_bytes: largest message in either direction.
        keepalive_seconds: silence after which the connection is tried.
        keepalive_timeout_seconds: time to answer that, else the connection counts as lost.
        uses_proxy: go through the proxy of the environment; hops inside a cluster must not.
    """

    target: str
    tls: ChannelTls | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    keepalive_seconds: float = 30.0
    keepalive_timeout_seconds: float = 10.0
    uses_proxy: bool = False


def open_channel(
    config: ChannelConfig, interceptors: Sequence[grpc.aio.ClientInterceptor] = ()
) -> grpc.aio.Channel:
    """A channel of the running event loop; it connects with its first call.

    Raises:
        InvalidInputError: reason INVALID_TARGET or UNREADABLE_CERTIFICATE.
    """
    target, options = target_of(config.target), channel_options(config)
    if config.tls is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=list(interceptors))
    return grpc.aio.secure_channel(
        target, _credentials(config.tls), options=options, interceptors=list(interceptors)
    )


def open_sync_channel(
    config: ChannelConfig, interceptors: Sequence[grpc.UnaryUnaryClientInterceptor[Any, Any]] = ()
) -> grpc.Channel:
    """As `open_channel`, for threads without an event loop."""
    target, options = target_of(config.target), channel_options(config)
    if config.tls is None:
        channel = grpc.insecure_channel(target, options=options)
    else:
        channel = grpc.secure_channel(target, _credentials(config.tls), options=options)
    return grpc.intercept_channel(channel, *interceptors)


def target_of(target: str) -> str:
    """gRPC's form of a target: `dns:///host:port` for one, `ipv4:a:1,b:2` for several addresses.

    Raises:
        InvalidInputError: reason INVALID_TARGET; no port, or a name among several addresses.
    """
    if target.startswith(("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "xds:")):
        return target
    parts = [part.strip() for part in target.split(",")]
    hosts = [_host_of(part, target) for part in parts]
    if len(parts) == 1:
        return f"dns:///{parts[0]}"
    parts = [part.replace("localhost:", "127.0.0.1:") for part in parts]
    hosts = [host.replace("localhost", "127.0.0.1") for host in hosts]
    versions = {_ip_version(host) for host in hosts}
    if versions not in ({4}, {6}):
        raise _invalid_target(target, "several addresses must all be IPv4 or all IPv6, names cannot be among")
    return f"ipv{versions.pop()}:{','.join(parts)}"


def channel_options(config: ChannelConfig) -> list[tuple[str, Any]]:
    """gRPC's options of a channel."""
    return [
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.keepalive_time_ms", int(config.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", int(config.keepalive_timeout_seconds * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # A restarted server is found again within a second.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.dns_min_time_between_resolutions_ms", 1_000),
        # Two channels to one target are two connections, so that closing one leaves the other.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", int(config.uses_proxy)),
        ("grpc.service_config", service_config()),
    ]


def service_config() -> str:
    """Balancing and retries as JSON: calls go round; unary calls are tried again when UNAVAILABLE."""
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            "methodConfig": [{"name": list(_unary_methods()), "retryPolicy": _RETRY_POLICY}],
        }
    )


def _unary_methods() -> Iterator[dict[str, str]]:
    """Methods without a stream at either end; a stream is not sent again behind its reader's back."""
    for file in _FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if not (method.client_streaming or method.server_streaming):
                    yield {"service": service.full_name, "method": method.name}


def _credentials(tls: ChannelTls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=_pem(tls.root_certificates),
        private_key=_pem(tls.private_key),
        certificate_chain=_pem(tls.certificate_chain),
    )


def _pem(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise InvalidInputError(message, reason="UNREADABLE_CERTIFICATE") from error


def _host_of(address: str, target: str) -> str:
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65_536):
        raise _invalid_target(target, "each address is host:port")
    return host


def _ip_version(host: str) -> int | None:
    try:
        return ipaddress.ip_address(host.strip("[]")).version
    except ValueError:
        return None


def _invalid_target(target: str, rule: str) -> InvalidInputError:
    return InvalidInputError(f"{target!r} is no target: {rule}", reason="INVALID_TARGET")
