"""Custom metrics of our models in Triton's own classes; names are the platform's, Triton adds no prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eureka.engine.stats import EngineStats


class TritonCounter:
    """A counter that follows a running total.

    Args:
        pb_utils: Triton's.
        name: of the metric.
        description: one line.
        labels: of this counter.
    """

    def __init__(
        self, pb_utils: Any, name: str, description: str, labels: Sequence[dict[str, str]] = ({},)
    ) -> None:
        kind = pb_utils.MetricFamily.COUNTER
        self._family = pb_utils.MetricFamily(name=name, description=description, kind=kind)
        self._metrics = [self._family.Metric(labels=one) for one in labels]
        self._totals = [0.0] * len(self._metrics)

    def follow(self, *totals: float) -> None:
        """Raise each counter to its total, in the order of the labels."""
        for place, (metric, total) in enumerate(zip(self._metrics, totals, strict=True)):
            if total > self._totals[place]:
                metric.increment(total - self._totals[place])
                self._totals[place] = total


class DecoderMetrics:
    """State and totals of the engine."""

    def __init__(self, pb_utils: Any) -> None:
        self._pb_utils = pb_utils
        self._slots = self._gauge("eureka_kv_slots_used", "KV slots owned by running requests")
        self._waiting = self._gauge("eureka_requests_waiting", "Accepted requests without a slot")
        self._running = self._gauge("eureka_requests_running", "Requests with a slot")
        self._generated = TritonCounter(pb_utils, "eureka_generated_tokens_total", "Tokens given to callers")
        self._prompt = TritonCounter(pb_utils, "eureka_prompt_tokens_total", "Prompt tokens prefilled")
        self._reused = TritonCounter(
            pb_utils, "eureka_reused_tokens_total", "Prompt tokens taken from an earlier request's audio"
        )
        self._pauses = TritonCounter(
            pb_utils, "eureka_pauses_total", "Times a request left its slot to a more urgent one"
        )
        self._prefixes = self._gauge("eureka_prefix_cache_bytes", "Memory of kept prompt beginnings")

    def report(self, stats: EngineStats) -> None:
        """Show the state `stats`."""
        self._slots[1].set(stats.num_running)  # a running request owns exactly one slot
        self._waiting[1].set(stats.num_waiting + stats.num_paused)
        self._running[1].set(stats.num_running)
        self._generated.follow(stats.generated_tokens)
        self._prompt.follow(stats.prefilled_tokens)
        self._reused.follow(stats.reused_tokens)
        self._pauses.follow(stats.num_pauses)
        self._prefixes[1].set(stats.prefix_cache_bytes)

    def _gauge(self, name: str, description: str) -> tuple[Any, Any]:
        """Family and metric; the family must live as long as the metric."""
        kind = self._pb_utils.MetricFamily.GAUGE
        family = self._pb_utils.MetricFamily(name=name, description=description, kind=kind)
        return family, family.Metric(labels={})
