"""The metrics of a component, on a registry of its own, and the HTTP port that shows them.

Those of the engine (slots, requests that wait) are at Triton's port, by `serving.triton_metrics`; those of
jobs are in `job_metrics`.

Labels are few and bounded: component, method, code, stage. Nothing here knows ids, tenants or words.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.process_collector import ProcessCollector

from eureka.errors import WrongStateError

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds: from a tiny call of a stage to five minutes of transcription."""

TOKEN_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds a token: 2,000 to 1 tokens a second."""


class Metrics:
    """All metrics of one component.

    Args:
        component: gateway, encoder, adapter, decoder, worker or sweeper.
        registry: where they are registered; one Metrics a registry and component.
    """

    def __init__(self, component: str, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._component = component
        self._requests = self._counter("requests", "Calls that ended.", "method", "code")
        self._duration = self._histogram("request_duration", "Wall time of a call.", "method")
        self._first_token = self._histogram("time_to_first_token", "Until the first message.", "method")
        self._per_token = self._histogram(
            "time_per_output_token", "Between tokens of an answer.", buckets=TOKEN_BUCKETS
        )
        self._prompt_tokens = self._counter("prompt_tokens", "Tokens of prompts, audio tokens counted.")
        self._generated_tokens = self._counter("generated_tokens", "Tokens generated.")
        self._audio = self._counter("audio_seconds", "Audio heard.")
        self._model_reloads = self._counter("model_reloads", "Models loaded again after they were gone.")
        self._model_reloads.labels(component)  # from 0 on: an increase can only be seen from somewhere
        self._running = self._gauge("requests_running", "Calls in progress.")
        self._waiting = self._gauge("requests_waiting", "Calls that wait for a place.")
        self._audio_running = self._gauge("audio_seconds_running", "Audio of the calls in progress.")
        self._ready = self._gauge("ready", "1 while new calls are welcome, else 0.")
        self._stage = self._histogram("stage_duration", "Of an answer, spent in a stage.", "stage")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Counts a call as running inside the block."""
        with self._running.labels(self._component).track_inprogress():
            yield

    def record_call(self, method: str, code: str, duration_seconds: float) -> None:
        """A call ended."""
        self._requests.labels(self._component, method, code).inc()
        self._duration.labels(self._component, method).observe(duration_seconds)

    def record_first_token(self, method: str, seconds: float) -> None:
        """The first message of a stream went out, `seconds` after the call came in."""
        self._first_token.labels(self._component, method).observe(seconds)

    def record_output_tokens(self, num_tokens: int, seconds: float) -> None:
        """`num_tokens` came `seconds` after those before them."""
        if num_tokens > 0:
            self._per_token.labels(self._component).observe(seconds / num_tokens)

    def record_usage(
        self, *, prompt_tokens: int = 0, generated_tokens: int = 0, audio_seconds: float = 0.0
    ) -> None:
        """What an answer cost."""
        self._prompt_tokens.labels(self._component).inc(prompt_tokens)
        self._generated_tokens.labels(self._component).inc(generated_tokens)
        self._audio.labels(self._component).inc(audio_seconds)

    def record_stages(self, seconds: Mapping[str, float]) -> None:
        """What an answer spent in each stage."""
        for stage, spent in seconds.items():
            self._stage.labels(self._component, stage).observe(spent)

    @contextmanager
    def hearing(self, audio_seconds: float) -> Iterator[None]:
        """Counts audio as in progress inside the block, and as heard when it ends without an error."""
        running = self._audio_running.labels(self._component)
        running.inc(audio_seconds)
        try:
            yield
        finally:
            running.dec(audio_seconds)
        self.record_usage(audio_seconds=audio_seconds)

    def show_waiting(self, num_waiting: Callable[[], int]) -> None:
        """Ask `num_waiting` for the calls that wait, whenever the metrics are read."""
        self._waiting.labels(self._component).set_function(num_waiting)

    def show_ready(self, is_ready: Callable[[], bool]) -> None:
        """Ask `is_ready` for the readiness, whenever the metrics are read."""
        self._ready.labels(self._component).set_function(is_ready)

    def record_model_reload(self) -> None:
        """A model that was gone is back."""
        self._model_reloads.labels(self._component).inc()

    def _counter(self, noun: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"eureka_{noun}_total", meaning, ("component", *labels), registry=self.registry)

    def _gauge(self, noun: str, meaning: str) -> Gauge:
        return Gauge(f"eureka_{noun}", meaning, ("component",), registry=self.registry)

    def _histogram(
        self, noun: str, meaning: str, *labels: str, buckets: tuple[float, ...] = DURATION_BUCKETS
    ) -> Histogram:
        return Histogram(
            f"eureka_{noun}_seconds",
            meaning,
            ("component", *labels),
            registry=self.registry,
            buckets=buckets,
        )


def new_metrics(component: str) -> Metrics:
    """Metrics on a registry of their own, with those of the process: its memory, time and files."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return Metrics(component, registry)


@dataclass(frozen=True, slots=True)
class MetricsServer:
    """A running metrics port.

    Attributes:
        port: where it listens.
    """

    port: int
    _server: Any
    _thread: threading.Thread

    def stop(self) -> None:
        """Close the port and end its thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_metrics(
    registry: CollectorRegistry, address: str = "127.0.0.1", port: int = 0, *, shares_port: bool = False
) -> MetricsServer:
    """Show `registry` at http://address:port/metrics from a thread; port 0 picks a free one.

    Args:
        registry: what is shown.
        address: where it listens.
        port: likewise.
        shares_port: a process that takes over from this one may listen there, too.

    Raises:
        WrongStateError: reason PORT_IN_USE.
    """
    host = address.strip("[]")
    kinds = (_SharedHttpServer6, _SharedHttpServer) if shares_port else (_HttpServer6, _HttpServer)
    try:
        server = kinds[0 if ":" in host else 1]((host, port), _SilentHandler)
    except OSError as error:
        message = f"metrics cannot listen at {address}:{port}: {error.strerror}"
        raise WrongStateError(message, reason="PORT_IN_USE") from error
    server.set_app(make_wsgi_app(registry))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    return MetricsServer(server.server_port, server, thread)


class _HttpServer(ThreadingMixIn, WSGIServer):
    """A slow reader does not keep others waiting."""

    daemon_threads = True


class _HttpServer6(_HttpServer):
    address_family = socket.AF_INET6


class _SharedHttpServer(_HttpServer):
    allow_reuse_port = True


class _SharedHttpServer6(_HttpServer6):
    allow_reuse_port = True


class _SilentHandler(WSGIRequestHandler):
    """Requests for metrics are not logged."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
