"""Spans by OpenTelemetry, sent by OTLP over gRPC; third-party packages are imported only where tracing is on.

Roots open a tracer by `open_tracer` and hand it down; processes of Triton's models, which read no settings,
take `tracer_of_environment`. A collector that is away costs spans, never calls.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eureka import __version__
from eureka.clients.metadata import trace_ids_of
from eureka.errors import EurekaError, InvalidInputError, WrongStateError
from eureka.spans import NO_TRACER, Span, SpanKind, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan

logger = logging.getLogger(__name__)

ENDPOINT_VARIABLE = "EUREKA_TRACING__ENDPOINT"
SAMPLE_RATIO_VARIABLE = "EUREKA_TRACING__SAMPLE_RATIO"
CA_FILE_VARIABLE = "EUREKA_TRACING__CA_FILE"

_OWN_FAULTS = frozenset({"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "RESOURCE_EXHAUSTED"})
"""Codes of errors that make a span one of failure; with all others the caller is to blame, or has gone."""


@dataclass(frozen=True, slots=True)
class TracingConfig:
    """Where spans go.

    Attributes:
        endpoint: http://host:port or https://host:port of an OTLP receiver over gRPC; empty is off.
        sample_ratio: share of the traces that begin here and are recorded; those of callers follow theirs.
        ca_file: PEM of who signed the receiver's certificate; None takes the usual authorities.
        export_seconds: between two sendings.
        timeout_seconds: of one sending.
    """

    endpoint: str = ""
    sample_ratio: float = 1.0
    ca_file: Path | None = None
    export_seconds: float = 2.0
    timeout_seconds: float = 5.0


@contextmanager
def open_tracer(config: TracingConfig, component: str) -> Iterator[Tracer]:
    """The tracer of a process; what it has recorded is sent at the end.

    Args:
        config: see there; without an endpoint spans cost nothing.
        component: gateway, encoder, adapter, decoder, worker or a model of Triton.

    Raises:
        WrongStateError: TRACING_NOT_INSTALLED.
        InvalidInputError: UNREADABLE_CERTIFICATE.
    """
    if not config.endpoint:
        yield NO_TRACER
        return
    tracer = OtelTracer(_provider(config, component))
    logger.info("tracing_on", extra={"component": component, "endpoint": config.endpoint})
    try:
        yield tracer
    finally:
        tracer.close()


def tracer_of_environment(component: str, environ: Mapping[str, str] = os.environ) -> Tracer:
    """As `open_tracer`, for a process without settings, to whose end it lives.

    Where the packages are missing, the model is served without spans, and the log says so.
    """
    if not environ.get(ENDPOINT_VARIABLE):
        return NO_TRACER
    ca_file = environ.get(CA_FILE_VARIABLE)
    config = TracingConfig(
        environ[ENDPOINT_VARIABLE],
        float(environ.get(SAMPLE_RATIO_VARIABLE) or 1.0),
        Path(ca_file) if ca_file else None,
    )
    try:
        return OtelTracer(_provider(config, component))
    except EurekaError as error:
        logger.warning("tracing_left_out", extra={"component": component, "reason": error.reason})
        return NO_TRACER


class OtelTracer:
    """`Tracer` over a provider of OpenTelemetry.

    Parents are explicit, so spans may cross threads, tasks and generators.
    """

    is_on = True

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("eureka", __version__)
        self._provider = provider

    @contextmanager
    def span(self, name: str, parent: str = "", kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
        """As `Tracer.span`."""
        from opentelemetry.trace import SpanKind as OtelKind

        started = self._tracer.start_span(name, context=_context_of(parent), kind=OtelKind[kind.name])
        span = RecordedSpan(started)
        try:
            yield span
        except BaseException as error:
            span.fail(error)
            raise
        finally:
            started.end()

    def close(self) -> None:
        """Send what is recorded, and record no more."""
        self._provider.shutdown()


class RecordedSpan:
    """`Span` over one of OpenTelemetry."""

    __slots__ = ("_span",)

    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """As `Span`."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def set(self, **attributes: str | int | float) -> None:
        """As `Span`."""
        for name, value in attributes.items():
            self._span.set_attribute(name if "." in name else f"eureka.{name}", value)

    def fail(self, error: BaseException) -> None:
        """As `Span`."""
        from grpc.aio import AbortError
        from opentelemetry.trace import StatusCode

        if isinstance(error, AbortError):
            return  # a status was sent; whoever chose it has told why
        if isinstance(error, EurekaError):
            reason, is_failure = error.reason, error.code in _OWN_FAULTS
        else:
            reason, is_failure = type(error).__name__, isinstance(error, Exception)
        self._span.set_attribute("error.type", reason)
        if is_failure:
            self._span.set_status(StatusCode.ERROR)


def _context_of(traceparent: str) -> Any:
    """OpenTelemetry's context of a parent; an empty one where there is no valid trace context."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    ids = trace_ids_of(traceparent)
    if ids is None:
        return Context()
    trace_id, span_id, flags = (int(part, 16) for part in ids)
    parent = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _provider(config: TracingConfig, component: str) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        message = f"{ENDPOINT_VARIABLE} is set, and a package of it is not installed: eureka[tracing]"
        raise WrongStateError(message, reason="TRACING_NOT_INSTALLED") from error
    _log_as_we_do()
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(config.sample_ratio)),
        resource=Resource.create({"service.name": f"eureka-{component}", "service.version": __version__}),
        shutdown_on_exit=True,
    )
    exporter = OTLPSpanExporter(
        endpoint=config.endpoint.partition("://")[2].rstrip("/"),
        insecure=config.endpoint.startswith("http://"),
        credentials=_credentials(config),
        timeout=config.timeout_seconds,
    )
    provider.add_span_processor(
        BatchSpanProcessor(exporter, schedule_delay_millis=config.export_seconds * 1_000)
    )
    return provider


def _credentials(config: TracingConfig) -> Any:
    if config.ca_file is None or config.endpoint.startswith("http://"):
        return None
    import grpc

    try:
        return grpc.ssl_channel_credentials(config.ca_file.read_bytes())
    except OSError as error:
        message = f"cannot read {config.ca_file}: {error.strerror}"
        raise InvalidInputError(message, reason="UNREADABLE_CERTIFICATE") from error


def _log_as_we_do() -> None:
    """Warnings of OpenTelemetry, such as of a collector that is away, in the form of our lines."""
    library = logging.getLogger("opentelemetry")
    library.handlers = list(logging.getLogger("eureka").handlers)
    library.propagate = not library.handlers
