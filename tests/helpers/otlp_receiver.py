"""A receiver of OTLP over gRPC that keeps the spans it is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class ReceivedSpan:
    """One span.

    Attributes:
        service: name of the process's resource.
        name: of the span.
        kind: OTLP's name of it, without the prefix.
        trace_id: hex.
        span_id: hex.
        parent_id: hex; empty at a root.
        attributes: by name.
        seconds: how long it took.
        is_error: whether its status says so.
        events: names of what happened in it.
    """

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    seconds: float
    is_error: bool
    events: tuple[str, ...]


@dataclass
class OtlpReceiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps spans.

    Attributes:
        port: where it listens on loopback.
    """

    port: int = 0
    _spans: list[ReceivedSpan] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[ReceivedSpan]:
        with self._lock:
            return list(self._spans)

    def of_trace(self, trace_id: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.trace_id == trace_id]

    def until(self, holds: Callable[[list[ReceivedSpan]], bool], seconds: float = 20.0) -> list[ReceivedSpan]:
        """Wait until it holds for the spans that have come; those."""
        deadline = time.monotonic() + seconds
        while not holds(spans := self.spans):
            assert time.monotonic() < deadline, sorted({(span.service, span.name) for span in spans})
            time.sleep(0.05)
        return spans

    def Export(self, request: Any, context: object) -> Any:  # gRPC's name
        with self._lock:
            for resource_spans in request.resource_spans:
                service = _attributes(resource_spans.resource.attributes)["service.name"]
                for scope_spans in resource_spans.scope_spans:
                    self._spans += [_received(service, span) for span in scope_spans.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def running_receiver() -> Iterator[OtlpReceiver]:
    """A receiver on a free port."""
    receiver = OtlpReceiver()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    receiver.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield receiver
    server.stop(None).wait()


def _received(service: str, span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        service,
        span.name,
        type(span).SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _attributes(span.attributes),
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        span.status.code == 2,
        tuple(event.name for event in span.events),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
