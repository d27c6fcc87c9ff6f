"""Spans of a trace, as all floors may make them; who records them is `eureka.runtime.tracing`'s affair.

A span is known to the next hop by its W3C trace context, a string that travels with the call. Attributes are
counts and names: no audio, no words.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import Enum
from types import TracebackType
from typing import Protocol


class SpanKind(Enum):
    """The part that a span's process has in a hop."""

    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"
    INTERNAL = "internal"


class Span(Protocol):
    """A piece of work while it goes on."""

    @property
    def traceparent(self) -> str:
        """W3C trace context for what this work asks of others; empty where there is none."""
        ...

    def set(self, **attributes: str | int | float) -> None:
        """Say more about the work; `audio_seconds` becomes the attribute eureka.audio_seconds."""
        ...

    def fail(self, error: BaseException) -> None:
        """Say that the work failed; an error that leaves the block says so by itself.

        Only its reason word is kept, never its message, which may name what somebody sent.
        """
        ...


class Tracer(Protocol):
    """Makes spans."""

    @property
    def is_on(self) -> bool:
        """Whether anybody records them."""
        ...

    def span(
        self, name: str, parent: str = "", kind: SpanKind = SpanKind.INTERNAL
    ) -> AbstractContextManager[Span]:
        """A span about the block; an error that leaves the block is its end.

        Args:
            name: few different ones: a method, a model, a task.
            parent: trace context that it belongs to; empty begins a trace.
            kind: see there.
        """
        ...


class NoSpan:
    """Records nothing, and passes the trace context on."""

    __slots__ = ("_traceparent",)

    def __init__(self, traceparent: str = "") -> None:
        self._traceparent = traceparent

    @property
    def traceparent(self) -> str:
        """That of the parent."""
        return self._traceparent

    def set(self, **attributes: str | int | float) -> None:
        """Nothing."""

    def fail(self, error: BaseException) -> None:
        """Nothing."""

    def __enter__(self) -> NoSpan:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


class NoTracer:
    """Tracing is off: spans cost nothing but a small object."""

    is_on = False

    def span(self, name: str, parent: str = "", kind: SpanKind = SpanKind.INTERNAL) -> NoSpan:
        """One that records nothing."""
        return NoSpan(parent)


NO_TRACER: Tracer = NoTracer()
NO_SPAN: Span = NoSpan()
