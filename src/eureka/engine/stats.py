"""Counters of the engine, given out as one frozen object."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from eureka.engine.scheduler import Scheduler
from eureka.types import Ending


@dataclass(frozen=True, slots=True)
class EngineStats:
    """State and totals since the engine was built; only the runtime floor exports them as metrics.

    Attributes:
        num_waiting: accepted requests that have not had a slot.
        num_paused: requests that have left their slot to a more urgent one and will go on.
        num_running: requests with a slot.
        num_prefilling: those of them whose prompt is not through.
        num_slots: slots in all.
        num_free_slots: slots that nobody has.
        num_steps: steps that did a forward pass.
        prefilled_tokens: prompt tokens run through the decoder.
        reused_tokens: prompt tokens taken from a prefix that an earlier request left.
        generated_tokens: tokens given to callers.
        num_pauses: how often a request left its slot.
        prefix_cache_bytes: memory of kept prefixes.
        endings: ending -> how many requests ended so.
        last_step_seconds: what the last step that did a forward pass took; no part of comparisons.
    """

    num_waiting: int
    num_paused: int
    num_running: int
    num_prefilling: int
    num_slots: int
    num_free_slots: int
    num_steps: int
    prefilled_tokens: int
    reused_tokens: int
    generated_tokens: int
    num_pauses: int
    prefix_cache_bytes: int
    endings: dict[Ending, int]
    last_step_seconds: float = field(compare=False)


@dataclass(slots=True)
class EngineCounters:
    """The engine's own running totals."""

    num_steps: int = 0
    prefilled_tokens: int = 0
    reused_tokens: int = 0
    generated_tokens: int = 0
    num_pauses: int = 0
    last_step_seconds: float = 0.0
    endings: Counter[Ending] = field(default_factory=Counter)


def read_stats(scheduler: Scheduler, counters: EngineCounters, prefix_cache_bytes: int) -> EngineStats:
    """State and totals of an engine; it must not change meanwhile."""
    return EngineStats(
        num_waiting=scheduler.line.num_waiting,
        num_paused=scheduler.line.num_paused,
        num_running=len(scheduler.running),
        num_prefilling=len(scheduler.prefilling),
        num_slots=scheduler.num_slots,
        num_free_slots=scheduler.num_free_slots,
        num_steps=counters.num_steps,
        prefilled_tokens=counters.prefilled_tokens,
        reused_tokens=counters.reused_tokens,
        generated_tokens=counters.generated_tokens,
        num_pauses=counters.num_pauses,
        prefix_cache_bytes=prefix_cache_bytes,
        endings=dict(counters.endings),
        last_step_seconds=counters.last_step_seconds,
    )
