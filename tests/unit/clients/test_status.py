"""Errors across gRPC: every class keeps its code, reason and message, foreign ones get a place."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from eureka import errors
from eureka.clients import status
from eureka.clients.gateway_calls import is_worth_retrying
from eureka.errors import EurekaError

CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, EurekaError) and kind is not EurekaError
]


def _rpc_error(
    code: grpc.StatusCode, message: str = "", told: status_pb2.Status | None = None
) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata(*([status.details_metadata(told)] if told else []))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=message)


def _over_the_wire(error: Exception) -> grpc.aio.AioRpcError:
    told = status.status_of(error)
    return _rpc_error(status.code_of_status(told), told.message, told)


@pytest.mark.parametrize("kind", CLASSES)
def test_error_of_class_comes_back_as_it_was(kind: type[EurekaError]) -> None:
    back = status.error_of(_over_the_wire(kind("10 s, at most 5 s")))
    assert type(back) is kind
    assert (back.message, back.reason) == ("10 s, at most 5 s", kind.default_reason)


@pytest.mark.parametrize("kind", CLASSES)
def test_narrowed_reason_comes_back_with_class_of_its_code(kind: type[EurekaError]) -> None:
    back = status.error_of(_over_the_wire(kind("no", reason="SOME_NARROW_REASON")))
    assert back.reason == "SOME_NARROW_REASON"
    assert back.code == kind.code


@pytest.mark.parametrize("kind", CLASSES)
def test_status_holds_one_error_info_and_retry_where_it_helps(kind: type[EurekaError]) -> None:
    told = status.status_of(kind("no"), {"request_id": "r1"})
    infos = [detail for detail in told.details if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    assert len(infos) == 1
    info = error_details_pb2.ErrorInfo()
    infos[0].Unpack(info)
    assert (info.domain, info.reason, info.metadata["request_id"]) == ("eureka", kind.default_reason, "r1")
    assert len(told.details) == (2 if kind.is_retryable else 1)
    wanted = 1.0 if kind.is_retryable else None
    assert status.retry_delay_of(_over_the_wire(kind("no"))) == wanted


def test_call_that_a_stopping_server_had_not_taken_is_worth_another_attempt() -> None:
    failure = _rpc_error(grpc.StatusCode.CANCELLED, "CANCELLED")
    error = status.error_of(failure)
    assert (type(error), error.reason) == (errors.StageUnavailableError, "SERVER_STOPPING")
    assert is_worth_retrying(failure)


def test_call_that_somebody_cancelled_is_not_tried_again() -> None:
    for failure in (
        _rpc_error(grpc.StatusCode.CANCELLED, "Locally cancelled by application!"),
        _over_the_wire(errors.CancelledError("the caller has gone")),
    ):
        assert type(status.error_of(failure)) is errors.CancelledError
        assert not is_worth_retrying(failure)


def test_passed_deadline_has_its_own_code() -> None:
    error = errors.CancelledError("too late", reason="DEADLINE_EXCEEDED")
    assert status.code_of(error) is grpc.StatusCode.DEADLINE_EXCEEDED
    back = status.error_of(_over_the_wire(error))
    assert isinstance(back, errors.CancelledError)
    assert back.reason == "DEADLINE_EXCEEDED"


def test_unknown_exception_becomes_internal_without_its_words() -> None:
    told = status.status_of(ValueError("password=hunter2"))
    assert status.code_of_status(told) is grpc.StatusCode.INTERNAL
    assert "hunter2" not in str(told)


@pytest.mark.parametrize(
    ("code", "message", "kind", "reason"),
    [
        ("UNAVAILABLE", "connection refused", errors.StageUnavailableError, "STAGE_UNAVAILABLE"),
        ("DEADLINE_EXCEEDED", "", errors.CancelledError, "DEADLINE_EXCEEDED"),
        (
            "RESOURCE_EXHAUSTED",
            "Sent message larger than max (9 vs. 4)",
            errors.InvalidInputError,
            "MESSAGE_TOO_LARGE",
        ),
        ("RESOURCE_EXHAUSTED", "no more", errors.QueueFullError, "QUEUE_FULL"),
        ("UNIMPLEMENTED", "no such method", EurekaError, "UNIMPLEMENTED"),
        ("UNKNOWN", "?", EurekaError, "INTERNAL"),
    ],
)
def test_error_of_grpc_itself_finds_a_place(
    code: str, message: str, kind: type[EurekaError], reason: str
) -> None:
    found = status.error_of(_rpc_error(grpc.StatusCode[code], message))
    assert type(found) is kind
    assert found.reason == reason


def test_damaged_or_foreign_details_fall_back_on_the_code() -> None:
    trailing = grpc.aio.Metadata((status.DETAILS_KEY, b"\xff\xff"))
    damaged = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailing, details="gone")
    assert type(status.error_of(damaged)) is errors.NotFoundError
    foreign = status_pb2.Status(code=5, message="theirs")
    foreign.details.add().Pack(error_details_pb2.ErrorInfo(reason="X", domain="example.com"))
    assert status.error_of(_rpc_error(grpc.StatusCode.NOT_FOUND, "m", foreign)).reason == "NOT_FOUND"
    assert status.error_of(grpc.RpcError("bare")).reason == "INTERNAL"


def test_long_message_is_cut_to_fit_metadata() -> None:
    told = status.status_of(errors.InvalidInputError("ü" * 50_000))
    assert len(told.SerializeToString()) < 8_192
