"""Custom metrics of our models in Triton's own classes; names are the platform's, Triton adds no prefix.

They stand at Triton's metrics port, with the label component="triton": the services count calls by the same
names, as they see them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eureka.engine.stats import EngineStats
from eureka.types import Ending

_COMPONENT = {"component": "triton"}

_ENDINGS = tuple(ending for ending in Ending if ending is not Ending.SILENCE)
"""Those of the engine, which hears no silence."""


class TritonCounter:
    """A counter that follows a running total.

    Args:
        pb_utils: Triton's.
        name: of the metric.
        description: one line.
        labels: of this counter, beside the component.
    """

    def __init__(
        self, pb_utils: Any, name: str, description: str, labels: Sequence[Mapping[str, str]] = ({},)
    ) -> None:
        kind = pb_utils.MetricFamily.COUNTER
        self._family = pb_utils.MetricFamily(name=name, description=description, kind=kind)
        self._metrics = [self._family.Metric(labels={**_COMPONENT, **one}) for one in labels]
        self._totals = [0.0] * len(self._metrics)

    def follow(self, *totals: float) -> None:
        """Raise each counter to its total, in the order of the labels."""
        for place, (metric, total) in enumerate(zip(self._metrics, totals, strict=True)):
            if total > self._totals[place]:
                metric.increment(total - self._totals[place])
                self._totals[place] = total


class TritonGauge:
    """A gauge; arguments as those of `TritonCounter`."""

    def __init__(self, pb_utils: Any, name: str, description: str) -> None:
        kind = pb_utils.MetricFamily.GAUGE
        self._family = pb_utils.MetricFamily(name=name, description=description, kind=kind)  # must outlive it
        self._metric = self._family.Metric(labels=_COMPONENT)

    def show(self, value: float) -> None:
        """Its value from now on."""
        self._metric.set(value)


class EncoderMetrics:
    """Volume of the encoder."""

    def __init__(self, pb_utils: Any) -> None:
        self._audio = TritonCounter(
            pb_utils, "eureka_audio_seconds_total", "Seconds of audio that went through the encoder"
        )

    def report(self, audio_seconds: float) -> None:
        """Show the total."""
        self._audio.follow(audio_seconds)


class AdapterMetrics:
    """Load of the adapter's experts: the share of assignments that each has is a sign of what is heard.

    Args:
        pb_utils: Triton's.
        num_experts: routed experts.
    """

    def __init__(self, pb_utils: Any, num_experts: int) -> None:
        self._expert_tokens = TritonCounter(
            pb_utils,
            "eureka_expert_tokens_total",
            "Audio tokens that each expert of the adapter served; a token counts for each of its experts",
            [{"expert": str(expert)} for expert in range(num_experts)],
        )

    def report(self, expert_tokens: Sequence[int]) -> None:
        """Show the totals, in the order of the experts."""
        self._expert_tokens.follow(*expert_tokens)


class DecoderMetrics:
    """State and totals of the engine."""

    def __init__(self, pb_utils: Any) -> None:
        def gauge(name: str, description: str) -> TritonGauge:
            return TritonGauge(pb_utils, name, description)

        def counter(name: str, description: str) -> TritonCounter:
            return TritonCounter(pb_utils, name, description)

        self._slots = gauge("eureka_kv_slots", "KV slots of the engine")
        self._slots_used = gauge("eureka_kv_slots_used", "KV slots owned by running requests")
        self._waiting = gauge("eureka_requests_waiting", "Accepted requests without a slot")
        self._running = gauge("eureka_requests_running", "Requests with a slot")
        self._prefixes = gauge("eureka_prefix_cache_bytes", "Memory of kept prompt beginnings")
        self._steps = counter("eureka_steps_total", "Steps of the engine with a forward pass")
        self._generated = counter("eureka_generated_tokens_total", "Tokens given to callers")
        self._prompt = counter("eureka_prompt_tokens_total", "Prompt tokens prefilled")
        self._reused = counter(
            "eureka_reused_tokens_total", "Prompt tokens taken from an earlier request's audio"
        )
        self._pauses = counter("eureka_pauses_total", "Times a request left its slot to a more urgent one")
        self._endings = TritonCounter(
            pb_utils,
            "eureka_endings_total",
            "Requests of the engine that ended so",
            [{"ending": ending.value} for ending in _ENDINGS],
        )

    def report(self, stats: EngineStats) -> None:
        """Show the state `stats`."""
        self._slots.show(stats.num_slots)
        self._slots_used.show(stats.num_running)  # a running request owns exactly one slot
        self._waiting.show(stats.num_waiting + stats.num_paused)
        self._running.show(stats.num_running)
        self._prefixes.show(stats.prefix_cache_bytes)
        self._steps.follow(stats.num_steps)
        self._generated.follow(stats.generated_tokens)
        self._prompt.follow(stats.prefilled_tokens)
        self._reused.follow(stats.reused_tokens)
        self._pauses.follow(stats.num_pauses)
        self._endings.follow(*(stats.endings.get(ending, 0) for ending in _ENDINGS))
