"""The error tree of the platform, and how each error appears to callers.

    EurekaError                     anything that we raise on purpose
    |-- InvalidInputError           the caller sent something that cannot be served
    |   |-- InvalidAudioError       bytes that hold no audio that we can decode
    |   |-- AudioTooLongError       more audio than the limit of the call
    |   `-- PromptTooLongError      more tokens than the context holds
    |-- NotFoundError               a named thing does not exist
    |-- AlreadyExistsError          a named thing exists and must not be replaced
    |-- WrongStateError             the thing exists, but not in a state that allows the call
    |   `-- InvalidCheckpointError  a checkpoint folder that does not fit its architecture
    |-- QueueFullError              no room now; try again
    |-- StageUnavailableError       a part that serves the call is away; try again
    |-- DataLossError               what was stored is not what comes back
    |-- UnauthenticatedError        no valid key
    |-- PermissionDeniedError       a valid key without this right
    `-- CancelledError              the caller is gone or the deadline has passed

Each class carries its gRPC code by name (`code`), its Triton code (`triton_code`), a reason word
(`reason`, UPPER_SNAKE, may be narrowed by an instance) and `is_retryable`. This module imports no
transport; the servers translate by these fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class EurekaError(Exception):
    """An error with a reason word and a message fit for the caller.

    Args:
        message: what was wrong, the value, the limit and the way out.
        reason: narrower reason word in UPPER_SNAKE; the class's own when omitted.
    """

    code: ClassVar[str] = "INTERNAL"
    triton_code: ClassVar[str] = "INTERNAL"
    default_reason: ClassVar[str] = "INTERNAL"
    is_retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the reason when the error crosses a process border."""
        return _rebuild, (type(self), self.message, self.reason)


def _rebuild(kind: type[EurekaError], message: str, reason: str) -> EurekaError:
    return kind(message, reason=reason)


class InvalidInputError(EurekaError):
    """The caller sent something that cannot be served as it is."""

    code = "INVALID_ARGUMENT"
    triton_code = "INVALID_ARG"
    default_reason = "INVALID_INPUT"


class InvalidAudioError(InvalidInputError):
    """The bytes hold no audio that can be decoded."""

    default_reason = "INVALID_AUDIO"


class AudioTooLongError(InvalidInputError):
    """The audio is longer, larger or slower to decode than the call allows."""

    default_reason = "AUDIO_TOO_LONG"


class PromptTooLongError(InvalidInputError):
    """The prompt and the tokens to generate exceed the context."""

    default_reason = "PROMPT_TOO_LONG"


class NotFoundError(EurekaError):
    """A named thing does not exist."""

    code = "NOT_FOUND"
    triton_code = "NOT_FOUND"
    default_reason = "NOT_FOUND"


class AlreadyExistsError(EurekaError):
    """A named thing exists and must not be replaced."""

    code = "ALREADY_EXISTS"
    triton_code = "ALREADY_EXISTS"
    default_reason = "ALREADY_EXISTS"


class WrongStateError(EurekaError):
    """The thing exists, but its state does not allow the call."""

    code = "FAILED_PRECONDITION"
    triton_code = "INVALID_ARG"
    default_reason = "WRONG_STATE"


class InvalidCheckpointError(WrongStateError):
    """A checkpoint folder does not fit the architecture that it names."""

    default_reason = "INVALID_CHECKPOINT"


class QueueFullError(EurekaError):
    """There is no room for the request now."""

    code = "RESOURCE_EXHAUSTED"
    triton_code = "UNAVAILABLE"
    default_reason = "QUEUE_FULL"
    is_retryable = True


class StageUnavailableError(EurekaError):
    """A part that serves the call is away."""

    code = "UNAVAILABLE"
    triton_code = "UNAVAILABLE"
    default_reason = "STAGE_UNAVAILABLE"
    is_retryable = True


class DataLossError(EurekaError):
    """What was stored is not what comes back."""

    code = "DATA_LOSS"
    triton_code = "INTERNAL"
    default_reason = "DATA_LOSS"


class UnauthenticatedError(EurekaError):
    """The call carries no valid key."""

    code = "UNAUTHENTICATED"
    triton_code = "INVALID_ARG"
    default_reason = "UNAUTHENTICATED"


class PermissionDeniedError(EurekaError):
    """The key is valid but lacks this right."""

    code = "PERMISSION_DENIED"
    triton_code = "INVALID_ARG"
    default_reason = "PERMISSION_DENIED"


class CancelledError(EurekaError):
    """The caller is gone (CANCELLED) or the deadline has passed (DEADLINE_EXCEEDED)."""

    code = "CANCELLED"
    triton_code = "CANCELLED"
    default_reason = "CANCELLED"


def error_classes() -> tuple[type[EurekaError], ...]:
    """The classes of the tree above, those that cross process borders; not what others derive from them."""
    return tuple(kind for kind in _with_children(EurekaError) if kind.__module__ == __name__)


def _with_children(kind: type[EurekaError]) -> Iterator[type[EurekaError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _with_children(child)
