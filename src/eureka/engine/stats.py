"""Counters of the engine, given out as one frozen object."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from eureka.types import Ending


@dataclass(frozen=True, slots=True)
class EngineStats:
    """State and totals since the engine was built; only the runtime floor exports them as metrics.

    Attributes:
        num_waiting: accepted requests without a slot.
        num_running: requests with a slot.
        num_slots: slots in all.
        num_steps: steps that did a forward pass.
        prefilled_tokens: prompt tokens run through the decoder.
        generated_tokens: tokens given to callers.
        endings: ending -> how many requests ended so.
    """

    num_waiting: int
    num_running: int
    num_slots: int
    num_steps: int
    prefilled_tokens: int
    generated_tokens: int
    endings: dict[Ending, int]


@dataclass(slots=True)
class EngineCounters:
    """The engine's own running totals."""

    num_steps: int = 0
    prefilled_tokens: int = 0
    generated_tokens: int = 0
    endings: Counter[Ending] = field(default_factory=Counter)
