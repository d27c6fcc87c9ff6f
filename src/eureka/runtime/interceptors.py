"""The interceptors of a server; `standard_interceptors` gives them in their order.

context   request id, trace, deadline -> `current_call()`; one access line a call, fewer while a model is away
metrics   counts and durations
errors    the error tree to a status; nothing else leaves a handler
keys      gateway only: who calls, and whether they may
limit     so many calls at a time, the next one gets QueueFullError
answers   tells health and supervisor of each real answer
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Protocol

import grpc

from eureka.clients import metadata, status
from eureka.errors import EurekaError, PermissionDeniedError, QueueFullError
from eureka.runtime.calls import (
    AroundInterceptor,
    ServedCall,
    current_call,
    current_span,
    set_current_call,
    set_current_span,
)
from eureka.runtime.keys import KeyFile, Scope, bearer_token
from eureka.runtime.metrics import Metrics
from eureka.spans import NO_TRACER, Span, SpanKind, Tracer
from eureka.types import Priority

logger = logging.getLogger(__name__)

METHOD_SCOPES: Mapping[str, Scope] = {
    "/eureka.api.v1.AudioService/Transcribe": Scope.READ,
    "/eureka.api.v1.AudioService/Caption": Scope.READ,
    "/eureka.api.v1.AudioService/Ask": Scope.READ,
    "/eureka.api.v1.AudioService/Classify": Scope.READ,
    "/eureka.api.v1.AudioService/Generate": Scope.READ,
    "/eureka.api.v1.AudioService/Upload": Scope.WRITE,
    "/eureka.api.v1.ModelService/List": Scope.READ,
    "/eureka.api.v1.JobService/CreateJob": Scope.WRITE,
    "/eureka.api.v1.JobService/GetJob": Scope.READ,
    "/eureka.api.v1.JobService/ListJobs": Scope.READ,
    "/eureka.api.v1.JobService/WatchJob": Scope.READ,
    "/eureka.api.v1.JobService/CancelJob": Scope.WRITE,
    "/eureka.api.v1.JobService/RetryJob": Scope.WRITE,
    "/eureka.api.v1.JobService/DeleteJob": Scope.WRITE,
    "/eureka.api.v1.JobService/CreateUpload": Scope.WRITE,
    "/eureka.api.v1.JobService/GetResult": Scope.READ,
}
"""What a method of the gateway asks of a key; one that is not here asks for admin."""


_AWAY_LINE_SECONDS = 10.0
"""Between lines that say the same; those of two minutes of loading fit on a page."""


class AnswerObserver(Protocol):
    """Whoever wants to know that the model answers: readiness, the supervisor."""

    def record_answer(self) -> None:
        """A real answer came."""

    def record_error(self, error: EurekaError) -> None:
        """A call failed with `error`."""

    def record_running(self, num_calls: int) -> None:
        """So many calls wait for the model now."""


class AwayLines:
    """Chooses access lines of a stage whose model is away: the first of a method, then one in ten seconds.

    Probes ask all the time then; calls of users have their lines at the gateway, too.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._next: dict[str, float] = {}

    def admits(self, method: str, code: grpc.StatusCode) -> bool:
        """Whether a call that ended so gets its line; any other code begins anew."""
        if code is not grpc.StatusCode.UNAVAILABLE:
            self._next.pop(method, None)
            return True
        if self._clock() < self._next.get(method, 0.0):
            return False
        self._next[method] = self._clock() + _AWAY_LINE_SECONDS
        return True


class ContextInterceptor(AroundInterceptor):
    """Sets `current_call()`, makes its span, and writes one line a call: method, code, duration, ids.

    Args:
        trusts_tenant: take the tenant from the metadata; for stages, which only the gateway calls, and which
            leave lines out while their model is away.
        priority: of calls whose message says nothing.
        tracer: makes the span.
    """

    def __init__(
        self,
        *,
        trusts_tenant: bool = False,
        priority: Priority = Priority.DEFAULT,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._trusts_tenant = trusts_tenant
        self._priority = priority
        self._tracer = tracer
        self._away_lines = AwayLines() if trusts_tenant else None

    @asynccontextmanager
    async def around(self, call: ServedCall) -> AsyncIterator[None]:
        """Set the context, serve, log."""
        context = metadata.context_of(
            call.metadata,
            remaining_seconds=call.context.time_remaining(),
            trusts_tenant=self._trusts_tenant,
            priority=self._priority,
        )
        parent = metadata.traceparent_in(call.metadata)
        with self._tracer.span(call.short_method, parent, SpanKind.SERVER) as span:
            set_current_call(replace(context, traceparent=span.traceparent or context.traceparent))
            set_current_span(span)
            call.context.set_trailing_metadata(((metadata.REQUEST_ID_KEY, context.request_id),))
            error: BaseException | None = None
            try:
                yield
            except BaseException as raised:
                error = raised
                raise
            finally:
                self._describe(call, span, error)
                self._log(call, error)

    def _describe(self, call: ServedCall, span: Span, error: BaseException | None) -> None:
        if self._tracer.is_on:
            context = current_call()
            code: int = ended_code(call, error).value[0]
            rpc: dict[str, str | int] = {"rpc.system": "grpc", "rpc.grpc.status_code": code}
            rpc["rpc.method"] = call.short_method
            span.set(**rpc, request_id=context.request_id, tenant=context.tenant)

    def _log(self, call: ServedCall, error: BaseException | None) -> None:
        context, code = current_call(), ended_code(call, error)
        if self._away_lines is not None and not self._away_lines.admits(call.short_method, code):
            return
        logger.info(
            "call_ended",
            extra={
                "method": call.short_method,
                "code": code.name,
                "duration_seconds": round(monotonic() - call.started, 6),
                "request_id": context.request_id,
                "trace_id": metadata.trace_id_of(context.traceparent),
                "tenant": context.tenant,
            },
        )


def ended_code(call: ServedCall, error: BaseException | None) -> grpc.StatusCode:
    """Code of a call that ended; one that was cancelled by its deadline counts as DEADLINE_EXCEEDED."""
    code = call.code(error)
    deadline = current_call().deadline
    if code is grpc.StatusCode.CANCELLED and deadline is not None and monotonic() >= deadline:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return code


class MetricsInterceptor(AroundInterceptor):
    """Counts calls, their codes and durations, and the time to the first message of a stream."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    @asynccontextmanager
    async def around(self, call: ServedCall) -> AsyncIterator[None]:
        """Count the call as running, then by its code."""
        error: BaseException | None = None
        with self._metrics.running():
            try:
                yield
            except BaseException as raised:
                error = raised
                raise
            finally:
                self._record(call, ended_code(call, error))

    def _record(self, call: ServedCall, code: grpc.StatusCode) -> None:
        duration_seconds = monotonic() - call.started
        self._metrics.record_call(call.short_method, code.name, duration_seconds)
        if call.first_message is not None:
            self._metrics.record_first_token(call.short_method, call.first_message - call.started)


class ErrorInterceptor(AroundInterceptor):
    """Ends each failed call with a status: an error of the tree with its details, others as INTERNAL."""

    @asynccontextmanager
    async def around(self, call: ServedCall) -> AsyncIterator[None]:
        """Translate what the handler raises; cancellation and a status already sent pass."""
        try:
            yield
        except grpc.aio.AbortError:
            raise
        except EurekaError as error:
            self._log_internal(call, error)
            await _abort(call, error)
        except grpc.RpcError as error:
            await _abort(call, status.error_of(error))
        except Exception as error:
            if call.code(None) is grpc.StatusCode.UNIMPLEMENTED:  # set by the generated servicer
                await call.context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no {call.short_method} here")
            logger.exception("handler_failed", extra=_who(call))
            await _abort(call, error)

    def _log_internal(self, call: ServedCall, error: EurekaError) -> None:
        if status.code_of(error) is grpc.StatusCode.INTERNAL:
            logger.error("call_failed_inside", extra=_who(call) | {"reason": error.reason}, exc_info=error)


def _who(call: ServedCall) -> dict[str, str]:
    return {"method": call.short_method, "request_id": current_call().request_id}


async def _abort(call: ServedCall, error: Exception) -> None:
    request_id = current_call().request_id
    current_span().fail(error)
    told = status.status_of(error, {"request_id": request_id})
    trailing = ((metadata.REQUEST_ID_KEY, request_id), status.details_metadata(told))
    await call.context.abort(status.code_of_status(told), told.message, trailing)


class KeysInterceptor(AroundInterceptor):
    """Lets a call through whose key has the scope of its method; sets the tenant of the key.

    Args:
        keys: None lets everybody in, as tenant "default".
        scopes: what each method asks for; others ask for admin.
    """

    def __init__(self, keys: KeyFile | None, scopes: Mapping[str, Scope] = METHOD_SCOPES) -> None:
        self._keys = keys
        self._scopes = scopes

    @asynccontextmanager
    async def around(self, call: ServedCall) -> AsyncIterator[None]:
        """Check the key before the handler runs.

        Raises:
            UnauthenticatedError: no key, or none that is valid.
            PermissionDeniedError: reason MISSING_SCOPE.
        """
        if self._keys is not None:
            key = self._keys.authenticate(bearer_token(dict(call.metadata).get("authorization")))
            scope = self._scopes.get(call.method, Scope.ADMIN)
            if not key.has(scope):
                message = (
                    f"{call.short_method} needs a key with scope {scope}; this one has {key.shown_scopes}"
                )
                raise PermissionDeniedError(message, reason="MISSING_SCOPE")
            set_current_call(replace(current_call(), tenant=key.tenant))
        yield


class LimitInterceptor(AroundInterceptor):
    """At most so many calls at a time; health and reflection are not among them."""

    def __init__(self, max_concurrent: int) -> None:
        self._max_concurrent = max_concurrent
        self._num_running = 0

    @asynccontextmanager
    async def around(self, call: ServedCall) -> AsyncIterator[None]:
        """Hold a place while the handler runs.

        Raises:
            QueueFullError: all places are taken.
        """
        if self._num_running >= self._max_concurrent:
            raise QueueFullError(
                f"{self._max_concurrent} calls are running, the limit; try again in a second"
            )
        self._num_running += 1
        try:
            yield
        finally:
            self._num_running -= 1


class AnswerInterceptor(AroundInterceptor):
    """Tells observers how the calls of some methods ended, those that a model answers.

    Args:
        observers: told of each answer and of each error of the tree.
        methods: full names; others say nothing about the model.
    """

    def __init__(self, observers: Sequence[AnswerObserver], methods: Collection[str]) -> None:
        self._observers = tuple(observers)
        self._methods = frozenset(methods)
        self._num_running = 0

    @asynccontextmanager
    async def around(self, call: ServedCall) -> AsyncIterator[None]:
        """Pass everything on, and tell."""
        if call.method not in self._methods:
            yield
            return
        call.on_message = self._tell_answer
        self._tell_running(+1)
        try:
            yield
        except EurekaError as error:
            self._tell_error(error)
            raise
        finally:
            self._tell_running(-1)
        self._tell_answer()

    def _tell_running(self, change: int) -> None:
        self._num_running += change
        for observer in self._observers:
            observer.record_running(self._num_running)

    def _tell_answer(self) -> None:
        for observer in self._observers:
            observer.record_answer()

    def _tell_error(self, error: EurekaError) -> None:
        for observer in self._observers:
            observer.record_error(error)


def standard_interceptors(
    *,
    metrics: Metrics | None = None,
    keys: KeysInterceptor | None = None,
    max_concurrent: int | None = None,
    answers: AnswerInterceptor | None = None,
    trusts_tenant: bool = False,
    priority: Priority = Priority.DEFAULT,
    tracer: Tracer = NO_TRACER,
) -> tuple[AroundInterceptor, ...]:
    """All interceptors that a server asks for, outermost first."""
    return tuple(
        interceptor
        for interceptor in (
            ContextInterceptor(trusts_tenant=trusts_tenant, priority=priority, tracer=tracer),
            MetricsInterceptor(metrics) if metrics is not None else None,
            ErrorInterceptor(),
            keys,
            LimitInterceptor(max_concurrent) if max_concurrent is not None else None,
            answers,
        )
        if interceptor is not None
    )
