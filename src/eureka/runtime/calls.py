"""What every interceptor shares: one call of a server, seen from around its handler.

An interceptor derives from `AroundInterceptor` and writes `around(call)`, an async context manager that is
entered before the handler and left with whatever it raised. All four kinds of methods are covered, and
both styles of streaming handlers (async generators, and coroutines that write to the context).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeAlias, cast

import grpc

from eureka.spans import NO_SPAN, Span
from eureka.types import CallContext

OPEN_PREFIXES = ("/grpc.health.", "/grpc.reflection.")
"""Health and reflection: no keys, no limits, no log lines, no metrics."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_CURRENT: ContextVar[CallContext] = ContextVar("eureka_call")
_SPAN: ContextVar[Span] = ContextVar("eureka_span", default=NO_SPAN)


def current_call() -> CallContext:
    """The context of the call that this task serves.

    Raises:
        LookupError: outside of a call.
    """
    return _CURRENT.get()


def set_current_call(context: CallContext) -> None:
    """Make `context` the one of this task and of those that it starts; each call has a task of its own."""
    _CURRENT.set(context)


def current_traceparent() -> str:
    """Trace context of the call that this task serves; empty outside of one."""
    context = _CURRENT.get(None)
    return context.traceparent if context is not None else ""


def current_span() -> Span:
    """The span of the call that this task serves; one that records nothing outside of a call."""
    return _SPAN.get()


def set_current_span(span: Span) -> None:
    """Make `span` the one of this task and of those that it starts."""
    _SPAN.set(span)


@dataclass(slots=True)
class ServedCall:
    """A call on its way through a server.

    Attributes:
        method: full name, `/package.Service/Method`.
        context: gRPC's own context.
        started: when it came in, on the monotonic clock.
        first_message: when its first message went out; None before, and for calls without a stream.
        on_message: called with each message of a stream.
    """

    method: str
    context: Any
    started: float
    first_message: float | None = None
    on_message: Callable[[], None] | None = None

    def note_message(self) -> None:
        """A message of a stream is on its way out."""
        self.first_message = self.first_message or monotonic()
        if self.on_message is not None:
            self.on_message()

    @property
    def metadata(self) -> tuple[tuple[str, Any], ...]:
        """What the caller sent along."""
        return tuple((str(key), value) for key, value in self.context.invocation_metadata() or ())

    @property
    def short_method(self) -> str:
        """`Service/Method`, without the package."""
        return self.method.rsplit(".", 1)[-1]

    def code(self, error: BaseException | None) -> grpc.StatusCode:
        """How the call ends, given what its handler raised."""
        known = _status_code(self.context.code())
        if known is not None:
            return known
        if error is None:
            return grpc.StatusCode.OK
        return grpc.StatusCode.UNKNOWN if isinstance(error, Exception) else grpc.StatusCode.CANCELLED


class AroundInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # not at run time
    """Runs `around` about the handler of every method but health and reflection."""

    def around(self, call: ServedCall) -> AbstractAsyncContextManager[None]:
        """What happens before and after the handler of `call`."""
        raise NotImplementedError

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The handler of the call with `around` about it."""
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(OPEN_PREFIXES):
            return cast(Handler, handler)  # None is how an unknown method is told
        return self._wrapped(handler, method)

    def _wrapped(self, handler: Any, method: str) -> Handler:
        kind = f"{_arity(handler.request_streaming)}_{_arity(handler.response_streaming)}"
        behavior = getattr(handler, kind)
        wrap = self._generator if inspect.isasyncgenfunction(behavior) else self._coroutine
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        wrapped = make(
            wrap(behavior, method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return cast(Handler, wrapped)

    def _coroutine(self, behavior: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Any]:
        async def serve(request: Any, context: Any) -> Any:
            async with self.around(ServedCall(method, context, monotonic())):
                return await behavior(request, context)

        return serve

    def _generator(self, behavior: Callable[..., Any], method: str) -> Callable[..., Any]:
        async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
            call = ServedCall(method, context, monotonic())
            async with self.around(call), aclosing(behavior(request, context)) as messages:
                async for message in messages:
                    call.note_message()
                    yield message

        return serve


def _arity(is_stream: bool) -> str:
    return "stream" if is_stream else "unary"


def _status_code(code: Any) -> grpc.StatusCode | None:
    """gRPC's aio context tells 0 or None before a code is set, then a number or the code itself."""
    if not code:
        return None
    if isinstance(code, grpc.StatusCode):
        return code
    return next((known for known in grpc.StatusCode if known.value[0] == code), None)
