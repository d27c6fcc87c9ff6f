"""The learning-rate schedule: linear warm-up, constant, linear to a final share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """Length and shape of a stage.

    Attributes:
        steps: updates of the stage.
        minutes: wall-clock bound; when set, progress is whichever of steps and time is further, so
            that the decay always completes. A run bound by time is not repeatable to the bit.
        warmup_steps: updates over which the rate rises from zero.
        decay_from: share of the stage at which the linear decay begins.
        final_share: rate at the end, as a share of the peak.
    """

    steps: int = 1000
    minutes: float | None = None
    warmup_steps: int = 50
    decay_from: float = 0.6
    final_share: float = 0.0


@dataclass(slots=True)
class Progress:
    """Where a stage stands; `elapsed_seconds` survives a resume."""

    config: ScheduleConfig
    step: int = 0
    elapsed_seconds: float = 0.0
    _last: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Count one finished update."""
        now = time.monotonic()
        self.elapsed_seconds += now - self._last
        self._last = now
        self.step += 1

    def resume(self, step: int, elapsed_seconds: float) -> None:
        """Go on from a saved place; the time in between does not count."""
        self.step, self.elapsed_seconds, self._last = step, elapsed_seconds, time.monotonic()

    @property
    def share(self) -> float:
        """How much of the stage is done, in [0, 1]."""
        by_steps = self.step / max(self.config.steps, 1)
        by_time = self.elapsed_seconds / 60 / self.config.minutes if self.config.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    @property
    def is_done(self) -> bool:
        """Whether the stage is at its end."""
        return self.share >= 1.0

    @property
    def rate(self) -> float:
        """Factor on the peak learning rate for the next update."""
        warm = min(1.0, (self.step + 1) / max(self.config.warmup_steps, 1))
        late = max(0.0, self.share - self.config.decay_from) / max(1e-9, 1 - self.config.decay_from)
        return warm * (1 - late * (1 - self.config.final_share))
