"""Every metric that our code exports, by the names and labels of its samples, and those of Triton we read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry

from eureka.engine.stats import EngineStats
from eureka.runtime.job_metrics import JobMetrics, LaneBacklog
from eureka.runtime.metrics import Metrics, new_metrics
from eureka.serving.triton_metrics import AdapterMetrics, DecoderMetrics, EncoderMetrics

SCRAPED = {"namespace", "job", "instance", "pod", "service"}
"""Labels that Prometheus adds to everything."""

TRITON = {
    "nv_inference_request_success": {"model", "version"},
    "nv_inference_request_failure": {"model", "version", "reason"},
    "nv_inference_queue_duration_us": {"model", "version"},
    "nv_inference_compute_infer_duration_us": {"model", "version"},
    "nv_inference_pending_request_count": {"model", "version"},
}
"""Those that Triton itself shows; tests/integration/test_triton_metrics.py looks at a real one."""

TRITON_OF_GPUS = {"nv_gpu_utilization": {"gpu_uuid"}, "nv_gpu_memory_used_bytes": {"gpu_uuid"}}
"""Shown where there is a GPU; from Triton's documentation, no test has seen them."""


def exported() -> dict[str, set[str]]:
    """Name of each sample of ours -> its labels."""
    found: dict[str, set[str]] = {}
    for name, labels in (*_samples(filled_metrics().registry), *_samples(filled_job_metrics()), *_models()):
        found.setdefault(name, set()).update(labels)
    return found


def families() -> dict[str, str]:
    """Name of each metric of ours as documents call it, without what Prometheus appends -> its help."""
    metrics, job_metrics = Metrics("gateway", CollectorRegistry()), CollectorRegistry()
    JobMetrics("worker", job_metrics)
    found = {
        family.name + ("_total" if family.type == "counter" else ""): family.documentation
        for registry in (metrics.registry, job_metrics)
        for family in registry.collect()
    }
    triton = FakeTriton()
    _report_models(triton)
    return found | {name: description for name, description, _ in triton.made}


def filled_metrics() -> Metrics:
    """Those of a service, each with a value."""
    metrics = new_metrics("gateway")
    metrics.record_call("AudioService/Ask", "OK", 0.1)
    metrics.record_first_token("AudioService/Generate", 0.1)
    metrics.record_output_tokens(1, 0.1)
    metrics.record_usage(prompt_tokens=1, generated_tokens=1, audio_seconds=1.0)
    metrics.record_stages({"embed": 0.1})
    metrics.show_ready(lambda: True)
    metrics.show_waiting(lambda: 0)
    with metrics.running(), metrics.hearing(1.0):
        pass
    return metrics


def filled_job_metrics() -> CollectorRegistry:
    """Those of jobs, each with a value."""
    registry = CollectorRegistry()
    metrics = JobMetrics("worker", registry)
    metrics.record_job("SUCCEEDED", "bulk", 1.0)
    metrics.record_sweep(0.0, 0.1, {"bulk": LaneBacklog()})
    return registry


def _models() -> Iterator[tuple[str, set[str]]]:
    triton = FakeTriton()
    _report_models(triton)
    for name, _, labels in triton.made:
        yield name, labels


def _report_models(triton: Any) -> None:
    EncoderMetrics(triton).report(1.0)
    AdapterMetrics(triton, 2).report((1, 1))
    DecoderMetrics(triton).report(EngineStats(0, 0, 0, 0, 8, 8, 1, 1, 1, 1, 1, 0, {}, 0.1))


def _samples(registry: CollectorRegistry) -> Iterator[tuple[str, set[str]]]:
    for family in registry.collect():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                yield sample.name, set(sample.labels)


class FakeTriton:
    """The part of `pb_utils` that makes metrics; keeps name, description and labels of each."""

    def __init__(self) -> None:
        made: list[tuple[str, str, set[str]]] = []
        self.made = made

        class Metric:
            def increment(self, value: float) -> None:
                assert value >= 0

            def set(self, value: float) -> None:
                pass

        class MetricFamily:
            COUNTER, GAUGE = 0, 1

            def __init__(self, name: str, description: str, kind: int) -> None:
                self.name, self.description = name, description

            def Metric(self, labels: dict[str, str]) -> Metric:
                made.append((self.name, self.description, set(labels)))
                return Metric()

        self.MetricFamily = MetricFamily
