"""Spans: nothing where tracing is off, and what reaches a receiver where it is on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eureka.clients.metadata import new_traceparent, trace_id_of, trace_ids_of
from eureka.errors import InvalidAudioError, InvalidInputError, StageUnavailableError
from eureka.runtime import tracing
from eureka.runtime.settings import known_names
from eureka.runtime.tracing import OtelTracer, TracingConfig, open_tracer, tracer_of_environment
from eureka.spans import NO_TRACER, SpanKind, Tracer
from tests.helpers.otlp_receiver import OtlpReceiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def tracer(receiver: OtlpReceiver) -> Iterator[Tracer]:
    with open_tracer(TracingConfig(receiver.endpoint, export_seconds=0.05), "gateway") as tracer:
        yield tracer


def test_without_an_endpoint_nothing_is_imported_and_the_context_passes_through() -> None:
    parent = new_traceparent()
    with open_tracer(TracingConfig(), "gateway") as tracer, tracer.span("call", parent) as span:
        span.set(audio_seconds=1.0)
        assert tracer is NO_TRACER and span.traceparent == parent
    code = (
        "import sys, eureka.runtime.tracing\n"
        "own = {'grpc', 'pydantic'} & set(sys.modules)\n"  # processes of models have neither
        "import eureka.clients.gateway, eureka.runtime.interceptors\n"
        "sys.exit(bool(own) or any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_span_belongs_to_its_parent_and_tells_the_next_hop(tracer: Tracer, receiver: OtlpReceiver) -> None:
    parent = new_traceparent()
    with tracer.span("outer", parent, SpanKind.SERVER) as outer:
        outer.set(audio_seconds=1.5, **{"rpc.system": "grpc"})
        with tracer.span("inner", outer.traceparent, SpanKind.CLIENT) as inner:
            assert trace_id_of(inner.traceparent) == trace_id_of(parent)
    spans = {span.name: span for span in receiver.until(lambda spans: len(spans) == 2)}
    ids = trace_ids_of(parent)
    assert ids is not None and spans["outer"].parent_id == ids[1]
    assert spans["inner"].parent_id == spans["outer"].span_id
    assert (spans["outer"].kind, spans["inner"].kind) == ("SERVER", "CLIENT")
    assert spans["outer"].attributes == {"eureka.audio_seconds": 1.5, "rpc.system": "grpc"}
    assert spans["outer"].service == "eureka-gateway"


@pytest.mark.parametrize(
    ("error", "reason", "is_failure"),
    [
        (StageUnavailableError("the words of a caller", reason="MODEL_GONE"), "MODEL_GONE", True),
        (InvalidAudioError("the words of a caller"), InvalidAudioError.default_reason, False),
        (ValueError("the words of a caller"), "ValueError", True),
        (GeneratorExit(), "GeneratorExit", False),
    ],
)
def test_error_is_told_by_its_reason_alone(
    tracer: Tracer, receiver: OtlpReceiver, error: BaseException, reason: str, is_failure: bool
) -> None:
    with pytest.raises(type(error)), tracer.span("call"):
        raise error
    [span] = receiver.until(lambda spans: len(spans) == 1)
    assert span.attributes == {"error.type": reason} and span.is_error is is_failure
    assert "words" not in repr(span) and not span.events


def test_unwanted_trace_is_passed_on_and_not_recorded(tracer: Tracer, receiver: OtlpReceiver) -> None:
    with tracer.span("call", new_traceparent(is_sampled=False)) as span:
        assert span.traceparent.endswith("-00")
    with tracer.span("other"):
        pass
    assert [span.name for span in receiver.until(lambda spans: len(spans) >= 1)] == ["other"]


def test_share_of_zero_records_only_what_callers_want(receiver: OtlpReceiver) -> None:
    config = TracingConfig(receiver.endpoint, sample_ratio=0.0)
    with open_tracer(config, "worker") as tracer:
        with tracer.span("ours"):
            pass
        with tracer.span("theirs", new_traceparent()):
            pass
    assert [span.name for span in receiver.spans] == ["theirs"]


def test_collector_that_is_away_costs_no_error_and_little_time() -> None:
    config = TracingConfig("http://127.0.0.1:9", timeout_seconds=0.2)
    with open_tracer(config, "gateway") as tracer, tracer.span("call"):
        pass


def test_process_without_settings_reads_the_same_names(receiver: OtlpReceiver) -> None:
    names = {value for name, value in vars(tracing).items() if name.endswith("_VARIABLE")}
    assert len(names) == 3 and names <= set(known_names())
    assert tracer_of_environment("audio_encoder", {}) is NO_TRACER
    found = tracer_of_environment("audio_encoder", {tracing.ENDPOINT_VARIABLE: receiver.endpoint})
    assert isinstance(found, OtelTracer)
    with found.span("model/audio_encoder"):
        pass
    found.close()
    assert [span.service for span in receiver.spans] == ["eureka-audio_encoder"]


def test_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    config = TracingConfig("https://127.0.0.1:9", ca_file=tmp_path / "none.pem")
    with pytest.raises(InvalidInputError, match=r"none\.pem") as caught, open_tracer(config, "gateway"):
        pass
    assert caught.value.reason == "UNREADABLE_CERTIFICATE"


def test_missing_packages_are_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(Exception, match=r"eureka\[tracing\]"), open_tracer(TracingConfig("http://x:1"), "a"):
        pass
    assert tracer_of_environment("a", {tracing.ENDPOINT_VARIABLE: "http://x:1"}) is NO_TRACER
