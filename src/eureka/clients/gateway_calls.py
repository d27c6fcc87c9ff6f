"""What a call of the gateway is made of, for both clients: channel options, metadata, attempts, audio.

Nothing here waits or sends; the clients do, each in its own way.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import grpc

from eureka.api.v1 import audio_service_pb2 as api
from eureka.audio.source import OpenedSource, open_source
from eureka.clients.channels import ChannelConfig, ChannelTls, channel_options
from eureka.clients.gateway_types import AudioSource, Limits, RetryPolicy, Upload
from eureka.clients.metadata import (
    REQUEST_ID_KEY,
    TRACEPARENT_KEY,
    is_traceparent,
    new_request_id,
)
from eureka.clients.status import error_of, retry_delay_of
from eureka.errors import EurekaError, InvalidInputError
from eureka.types import Priority

UPLOAD_CHUNK_BYTES = 256 << 10
"""Data in one message of an upload; the API takes up to 1 MiB."""

MESSAGE_RESERVE_BYTES = 256 << 10
"""Room for all of a message but its audio."""

_RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED)
"""CANCELLED is worth it only without a reason: a server that stops had not taken the call."""

_ANY_SIZE = 1 << 62


def no_trace() -> str:
    """The trace context of callers that have none: the gateway begins a trace for each call."""
    return ""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """How a client reaches its gateway.

    Attributes:
        target: host:port, or a gRPC target.
        key: API key; None where the gateway asks for none.
        tls: files of a secure channel; None is plain text.
        timeout_seconds: of calls that name none; None waits without end.
        retry: when a call is tried again.
        priority: of all calls.
        traceparent: gives the W3C trace context of the caller, asked at each call.
        uses_proxy: go through the proxy of the environment.
    """

    target: str
    key: str | None = field(default=None, repr=False)
    tls: ChannelTls | None = None
    timeout_seconds: float | None = 300.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    priority: Priority = Priority.INTERACTIVE
    traceparent: Callable[[], str] = no_trace
    uses_proxy: bool = False

    @property
    def options(self) -> list[tuple[str, Any]]:
        """gRPC's options; its own retries are off, since they know neither RetryInfo nor our policy."""
        config = ChannelConfig(self.target, self.tls, uses_proxy=self.uses_proxy)
        return [*channel_options(config), ("grpc.enable_retries", 0)]

    def attempts(self, timeout_seconds: float | None, request_id: str) -> Attempts:
        """A new call; its deadline counts from now."""
        timeout = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        return Attempts(
            retry=self.retry,
            deadline=None if timeout is None else time.monotonic() + timeout,
            request_id=request_id or new_request_id(),
            trace=self.traceparent(),
            key=self.key,
        )


@dataclass(slots=True)
class Attempts:
    """One call of the user and its attempts: one deadline, one request id, one trace.

    Attributes:
        retry: the policy.
        deadline: on the monotonic clock, over all attempts and pauses; None without one.
        request_id: of all attempts.
        trace: trace context of the caller, may be empty.
        key: API key.
    """

    retry: RetryPolicy
    deadline: float | None
    request_id: str
    trace: str = ""
    key: str | None = field(default=None, repr=False)
    _num_failed: int = 0

    @property
    def arguments(self) -> dict[str, Any]:
        """`timeout` and `metadata` of the next attempt."""
        metadata = [(REQUEST_ID_KEY, self.request_id)]
        if is_traceparent(self.trace):
            metadata.append((TRACEPARENT_KEY, self.trace))
        if self.key is not None:
            metadata.append(("authorization", f"Bearer {self.key}"))
        return {"timeout": self.remaining_seconds(), "metadata": tuple(metadata)}

    def pause_after(self, failure: grpc.RpcError) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            EurekaError: there is no next attempt; the error that the failure stands for.
        """
        self._num_failed += 1
        pause = self._pause(retry_delay_of(failure))
        remaining = self.remaining_seconds()
        is_last = self._num_failed >= self.retry.max_attempts or not is_worth_retrying(failure)
        if is_last or (remaining is not None and pause >= remaining):
            raise self.error(failure) from failure
        return pause

    def error(self, failure: grpc.RpcError) -> EurekaError:
        """The error that a failure stands for, with the id by which the server's log knows it."""
        error = error_of(failure)
        error.add_note(f"request id {self.request_id}")
        return error

    def _pause(self, asked_seconds: float | None) -> float:
        policy = self.retry
        grown = policy.first_pause_seconds * policy.multiplier ** (self._num_failed - 1)
        pause = max(min(grown, policy.max_pause_seconds), asked_seconds or 0.0)
        return pause * (1 + policy.jitter * random.random())

    def remaining_seconds(self) -> float | None:
        """Seconds until the deadline, at least 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


def is_worth_retrying(failure: grpc.RpcError) -> bool:
    """Whether another attempt may end better: the part is away, or a queue is full."""
    code: Any = getattr(failure, "code", lambda: None)()
    return code in _RETRIED and error_of(failure).is_retryable


def credentials(tls: ChannelTls) -> grpc.ChannelCredentials:
    """gRPC's credentials from PEM files.

    Raises:
        InvalidInputError: reason UNREADABLE_CERTIFICATE.
    """
    files = (tls.root_certificates, tls.private_key, tls.certificate_chain)
    try:
        root, private, chain = (None if path is None else path.read_bytes() for path in files)
    except OSError as error:
        message = f"cannot read {error.filename}: {error.strerror}"
        raise InvalidInputError(message, reason="UNREADABLE_CERTIFICATE") from error
    return grpc.ssl_channel_credentials(root, private, chain)


def name_of(source: AudioSource) -> str:
    """How a result names its audio: a path, the name of an upload, else nothing."""
    if isinstance(source, Upload):
        return source.name
    if isinstance(source, bytes | bytearray | memoryview):
        return ""
    name = getattr(source, "name", None)
    is_path = isinstance(source, str) or hasattr(source, "__fspath__")
    return str(source) if is_path else name if isinstance(name, str) else ""


def open_file(source: AudioSource) -> OpenedSource:
    """Open what is to be sent.

    Raises: as `eureka.audio.source.open_source`, and an Upload is no file (NOT_A_FILE).
    """
    if isinstance(source, Upload):
        raise InvalidInputError(f"{source.name} is uploaded already", reason="NOT_A_FILE")
    return open_source(source, _ANY_SIZE)


@dataclass(slots=True)
class InlineRoom:
    """How many bytes of audio still fit into one request."""

    limits: Limits
    _used_bytes: int = 0

    def take(self, num_bytes: int) -> bool:
        """Whether a file of this size goes into the request; counts it if so."""
        total = self._used_bytes + num_bytes
        fits = num_bytes <= self.limits.max_inline_bytes
        if not fits or total > self.limits.max_message_bytes - MESSAGE_RESERVE_BYTES:
            return False
        self._used_bytes = total
        return True


def content_of(opened: OpenedSource) -> bytes:
    """All bytes of an opened file."""
    with closing(opened):
        return opened.reader.read()


def check_size(num_bytes: int, limits: Limits) -> None:
    """Refuse an upload that the gateway would refuse after all of it came.

    Raises:
        InvalidInputError: reason UPLOAD_TOO_LARGE.
    """
    if num_bytes > limits.max_upload_bytes:
        message = f"{num_bytes} bytes; the gateway takes uploads of at most {limits.max_upload_bytes}"
        raise InvalidInputError(message, reason="UPLOAD_TOO_LARGE")


class UploadReader:
    """Reads one file for the attempts of an upload.

    gRPC may still read for a failed attempt when the next one has begun, in another thread; so each attempt
    has its own place in the file.

    Args:
        reader: the file.
        name: for people.
    """

    def __init__(self, reader: BinaryIO, name: str) -> None:
        self._reader = reader
        self._name = name
        self._lock = threading.Lock()

    def messages(self) -> Iterator[api.UploadRequest]:
        """All messages of one attempt."""
        yield api.UploadRequest(config=api.UploadConfig(display_name=self._name))
        offset = 0
        while chunk := self._read(offset):
            offset += len(chunk)
            yield api.UploadRequest(data=chunk)

    def _read(self, offset: int) -> bytes:
        """The next chunk; nothing once the file is closed, after the last attempt."""
        with self._lock:
            if getattr(self._reader, "closed", False):
                return b""
            self._reader.seek(offset)
            return self._reader.read(UPLOAD_CHUNK_BYTES)


def display_name(source: AudioSource) -> str:
    """Name of an upload for people: the last part of the path, within the API's 255 characters."""
    return name_of(source).replace("\\", "/").rsplit("/", 1)[-1].encode(errors="replace").decode()[:255]
