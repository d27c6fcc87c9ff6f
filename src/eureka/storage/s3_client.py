"""Clients of plain S3: how to reach a store, and minio's client with timeouts, retries and trust set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
from minio import Minio
from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout

from eureka.errors import InvalidInputError

MAX_CONNECTIONS = 16
"""Connections that are kept open to the store; more threads than that open their own."""

RETRIED_STATUS = (429, 500, 502, 503, 504)
"""Answers of a store that is busy or restarting."""

MAX_BACKOFF_SECONDS = 5.0
"""Longest pause between two attempts."""


@dataclass(frozen=True, slots=True)
class S3Config:
    """How a store is reached.

    Attributes:
        endpoint: http://host:port or https://host:port.
        bucket: where all objects lie.
        access_key: id of the credentials.
        secret_key: never printed.
        region: that requests are signed for.
        public_endpoint: what links name; empty is `endpoint`.
        public_region: that links are signed for; empty is `region`.
        path_style: the bucket stands in the path, not in the host name.
        ca_file: PEM of who signed the store's certificate; None trusts the usual ones.
        connect_timeout_seconds: until a connection must stand.
        read_timeout_seconds: between two pieces of an answer.
        max_attempts: of one request, and of one read that broke off.
        backoff_seconds: half the pause before the second retry; it doubles, to MAX_BACKOFF_SECONDS. With the
            defaults a server that refuses connections is waited for about ten seconds.
        part_bytes: of one part of a large object, at least 5 MiB.
    """

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    public_endpoint: str = ""
    public_region: str = ""
    path_style: bool = True
    ca_file: Path | None = None
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 30.0
    max_attempts: int = 6
    backoff_seconds: float = 0.4
    part_bytes: int = 16 << 20


class FirstWriterPool(PoolManager):
    """Puts only where nothing is: `If-None-Match: *` on every PUT.

    minio's put_object makes metadata of headers that it does not know. The header needs no signature, and so
    it can be added behind the client's back.
    """

    def urlopen(  # type: ignore[override]  # as minio calls it
        self, method: str, url: str, headers: Mapping[str, str], **options: Any
    ) -> BaseHTTPResponse:
        """As PoolManager, with the header."""
        conditions = {"If-None-Match": "*"} if method == "PUT" else {}
        return super().urlopen(method, url, headers={**headers, **conditions}, **options)


def open_client(config: S3Config, pool: type[PoolManager] = PoolManager) -> Minio:
    """A client of the store, safe for threads; each process makes its own."""
    return _client(config, config.endpoint, config.region, pool)


def open_signer(config: S3Config) -> Minio:
    """A client that signs links for the public endpoint; it is never connected."""
    region = config.public_region or config.region
    return _client(config, config.public_endpoint or config.endpoint, region, PoolManager)


def _client(config: S3Config, endpoint: str, region: str, pool: type[PoolManager]) -> Minio:
    is_secure, host = _parts(endpoint)
    client = Minio(
        host,
        config.access_key,
        config.secret_key,
        secure=is_secure,
        region=region,  # without it the client would ask the store
        http_client=_pool(config, pool),
    )
    if config.path_style:
        client.disable_virtual_style_endpoint()
    else:
        client.enable_virtual_style_endpoint()
    return client


def _pool(config: S3Config, pool: type[PoolManager]) -> PoolManager:
    retries = Retry(
        total=config.max_attempts - 1,
        backoff_factor=config.backoff_seconds,
        backoff_max=MAX_BACKOFF_SECONDS,
        backoff_jitter=config.backoff_seconds,  # many workers do not come back at once
        status_forcelist=RETRIED_STATUS,
        raise_on_status=False,
    )
    return pool(
        timeout=Timeout(connect=config.connect_timeout_seconds, read=config.read_timeout_seconds),
        maxsize=MAX_CONNECTIONS,
        retries=retries,
        cert_reqs="CERT_REQUIRED",
        ca_certs=str(config.ca_file or certifi.where()),
    )


def _parts(endpoint: str) -> tuple[bool, str]:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or "@" in endpoint:
        message = f"{endpoint[:200]!r} is no endpoint; give http://host:port or https://host:port"
        raise InvalidInputError(message, reason="INVALID_ENDPOINT")
    return parts.scheme == "https", parts.netloc
