"""The one border between gRPC's errors and the error tree, in both directions.

A status carries exactly one google.rpc.ErrorInfo (reason, domain "eureka") and, where a retry helps, one
google.rpc.RetryInfo. Both travel as `grpc-status-details-bin`, written here by hand, so that the client
needs no grpcio-status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from eureka import errors
from eureka.errors import EurekaError, error_classes

DOMAIN = "eureka"
"""ErrorInfo.domain of every error that is ours."""

DETAILS_KEY = "grpc-status-details-bin"
"""Trailing metadata that holds the serialized google.rpc.Status."""

RETRY_DELAY_SECONDS = 1.0
"""A full queue moves on within about this time; a stage that went away is probed as often."""

MAX_MESSAGE_CHARS = 1_000
"""A message travels twice and percent-encoded inside 8 KiB of trailing metadata."""

DEADLINE_REASON = "DEADLINE_EXCEEDED"
"""Reason of a CancelledError whose deadline passed."""

SERVER_STOPPING_REASON = "SERVER_STOPPING"
"""Reason for a call that a server which stops had not taken yet: gRPC cancels it without a word. A call that
we cancel ourselves says so, and one that a server cancels carries its reason."""

MESSAGE_OF_UNKNOWN = "internal error; the server's log has the cause under the request id"

_CODES = {code.value[0]: code for code in grpc.StatusCode}

_CLASS_OF_CODE: dict[str, type[EurekaError]] = {
    "INVALID_ARGUMENT": errors.InvalidInputError,
    "OUT_OF_RANGE": errors.InvalidInputError,
    "NOT_FOUND": errors.NotFoundError,
    "ALREADY_EXISTS": errors.AlreadyExistsError,
    "FAILED_PRECONDITION": errors.WrongStateError,
    "RESOURCE_EXHAUSTED": errors.QueueFullError,
    "UNAVAILABLE": errors.StageUnavailableError,
    "DATA_LOSS": errors.DataLossError,
    "UNAUTHENTICATED": errors.UnauthenticatedError,
    "PERMISSION_DENIED": errors.PermissionDeniedError,
    "CANCELLED": errors.CancelledError,
    "DEADLINE_EXCEEDED": errors.CancelledError,
}


def status_of(error: BaseException, metadata: Mapping[str, str] | None = None) -> status_pb2.Status:
    """The status that tells a caller about `error`; one that is not ours becomes INTERNAL without a word.

    Args:
        error: what a handler raised.
        metadata: pairs for ErrorInfo.metadata, for example the request id.
    """
    known = error if isinstance(error, EurekaError) else EurekaError(MESSAGE_OF_UNKNOWN)
    status = status_pb2.Status(code=code_of(known).value[0], message=_cut(known.message))
    info = error_details_pb2.ErrorInfo(reason=known.reason, domain=DOMAIN, metadata=metadata)
    status.details.add().Pack(info)
    if known.is_retryable:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(RETRY_DELAY_SECONDS * 1e9))
        status.details.add().Pack(retry)
    return status


def code_of(error: EurekaError) -> grpc.StatusCode:
    """The gRPC code of an error of the tree."""
    if isinstance(error, errors.CancelledError) and error.reason == DEADLINE_REASON:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode[error.code]


def code_of_status(status: status_pb2.Status) -> grpc.StatusCode:
    """The gRPC code that a status holds as a number."""
    return _CODES[status.code]


def details_metadata(status: status_pb2.Status) -> tuple[str, bytes]:
    """The pair of trailing metadata that carries the whole status."""
    return DETAILS_KEY, status.SerializeToString()


def error_of(rpc_error: grpc.RpcError) -> EurekaError:
    """The error of the tree that a failed call stands for.

    A reason that a class has as its own gives that class, others narrow the class of the code. Errors of
    gRPC itself (no connection, message too large) carry no reason and get one here.
    """
    code, message = _code_and_message(rpc_error)
    status = _status_in(rpc_error)
    info = _info_in(status)
    if status is None or info is None:
        return _error_of_transport(code, message)
    return _class_for(code, info.reason)(status.message or message, reason=info.reason)


def retry_delay_of(rpc_error: grpc.RpcError) -> float | None:
    """Seconds after which the server asks to try again; None where it does not."""
    retry = error_details_pb2.RetryInfo()
    for detail in _details_in(_status_in(rpc_error)):
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToNanoseconds()) / 1e9
    return None


def _class_for(code: grpc.StatusCode, reason: str) -> type[EurekaError]:
    of_code = _CLASS_OF_CODE.get(code.name, EurekaError)
    own = [kind for kind in error_classes() if kind.default_reason == reason]
    return next((kind for kind in own if kind.code == of_code.code), of_code)


def _error_of_transport(code: grpc.StatusCode, message: str) -> EurekaError:
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.CancelledError(message or "the deadline passed", reason=DEADLINE_REASON)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        return errors.InvalidInputError(message, reason="MESSAGE_TOO_LARGE")
    if code is grpc.StatusCode.CANCELLED and message in ("", code.name):
        return errors.StageUnavailableError(
            "the server stopped before it took the call", reason=SERVER_STOPPING_REASON
        )
    if code.name in _CLASS_OF_CODE:
        return _CLASS_OF_CODE[code.name](message or code.name)
    reason = code.name if code is grpc.StatusCode.UNIMPLEMENTED else None
    return EurekaError(message or code.name, reason=reason)


def _code_and_message(rpc_error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Both as the call says them; a bare RpcError has neither."""
    code: Any = getattr(rpc_error, "code", lambda: None)()
    message: Any = getattr(rpc_error, "details", lambda: None)()
    return code or grpc.StatusCode.UNKNOWN, message or str(rpc_error)


def _status_in(rpc_error: grpc.RpcError) -> status_pb2.Status | None:
    metadata: Any = getattr(rpc_error, "trailing_metadata", lambda: None)()
    for key, value in metadata or ():
        if key == DETAILS_KEY:
            return _parsed(value)
    return None


def _parsed(value: bytes) -> status_pb2.Status | None:
    try:
        return status_pb2.Status.FromString(value)
    except DecodeError:
        return None


def _info_in(status: status_pb2.Status | None) -> error_details_pb2.ErrorInfo | None:
    info = error_details_pb2.ErrorInfo()
    for detail in _details_in(status):
        if detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None


def _details_in(status: status_pb2.Status | None) -> Iterable[Any]:
    return status.details if status is not None else ()


def _cut(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE_CHARS else message[: MAX_MESSAGE_CHARS - 3] + "..."
