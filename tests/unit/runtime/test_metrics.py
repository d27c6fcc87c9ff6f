"""Names of the metrics and their port."""

from __future__ import annotations

import functools
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from eureka.errors import WrongStateError
from eureka.runtime.metrics import Metrics, serve_metrics

NAMES = {
    "eureka_requests_total",
    "eureka_request_duration_seconds",
    "eureka_time_to_first_token_seconds",
    "eureka_time_per_output_token_seconds",
    "eureka_prompt_tokens_total",
    "eureka_generated_tokens_total",
    "eureka_audio_seconds_total",
    "eureka_model_reloads_total",
    "eureka_requests_running",
    "eureka_requests_waiting",
    "eureka_audio_seconds_running",
    "eureka_ready",
    "eureka_stage_duration_seconds",
}


def _read(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def test_metrics_have_the_agreed_names() -> None:
    metrics = Metrics("decoder", CollectorRegistry())
    found = {
        family.name + ("_total" if family.type == "counter" else "") for family in metrics.registry.collect()
    }
    assert found == NAMES


def test_audio_of_a_call_runs_and_is_heard_only_when_the_call_succeeds() -> None:
    metrics = Metrics("encoder", CollectorRegistry())
    read = functools.partial(metrics.registry.get_sample_value, labels={"component": "encoder"})
    with pytest.raises(WrongStateError), metrics.hearing(2.5):
        assert read("eureka_audio_seconds_running") == 2.5
        raise WrongStateError("no")
    assert read("eureka_audio_seconds_running") == 0.0
    assert not read("eureka_audio_seconds_total")
    with metrics.hearing(2.5):
        pass
    assert read("eureka_audio_seconds_total") == 2.5


def test_waiting_and_readiness_are_asked_for_when_they_are_read() -> None:
    metrics, waiting = Metrics("gateway", CollectorRegistry()), [1]
    metrics.show_waiting(lambda: len(waiting))
    metrics.show_ready(lambda: len(waiting) < 2)
    read = functools.partial(metrics.registry.get_sample_value, labels={"component": "gateway"})
    assert (read("eureka_requests_waiting"), read("eureka_ready")) == (1.0, 1.0)
    waiting.append(2)
    assert (read("eureka_requests_waiting"), read("eureka_ready")) == (2.0, 0.0)


def test_port_shows_what_was_recorded_and_closes() -> None:
    metrics = Metrics("decoder", CollectorRegistry())
    metrics.record_usage(prompt_tokens=3, generated_tokens=5, audio_seconds=1.5)
    metrics.record_output_tokens(4, 0.02)
    server = serve_metrics(metrics.registry)
    text = _read(server.port)
    assert 'eureka_generated_tokens_total{component="decoder"} 5.0' in text
    server.stop()
    with pytest.raises(OSError, match="refused"):
        _read(server.port)


def test_busy_metrics_port_is_named() -> None:
    server = serve_metrics(CollectorRegistry())
    try:
        with pytest.raises(WrongStateError, match=str(server.port)) as caught:
            serve_metrics(CollectorRegistry(), port=server.port)
        assert caught.value.reason == "PORT_IN_USE"
    finally:
        server.stop()


def test_two_components_do_not_share_a_registry_by_accident() -> None:
    one, two = Metrics("encoder", CollectorRegistry()), Metrics("adapter", CollectorRegistry())
    one.record_model_reload()
    assert two.registry.get_sample_value("eureka_model_reloads_total", {"component": "adapter"}) == 0.0


def test_shared_port_is_taken_over_without_a_gap() -> None:
    old = serve_metrics(CollectorRegistry(), shares_port=True)
    metrics = Metrics("decoder", CollectorRegistry())
    new = serve_metrics(metrics.registry, port=old.port, shares_port=True)
    old.stop()
    assert new.port == old.port
    assert "eureka_model_reloads_total" in _read(new.port)
    new.stop()
