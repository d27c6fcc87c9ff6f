"""The engine's clock: deadlines and timings are read from one object given by constructor."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of seconds that only grows."""

    def now(self) -> float:
        """Seconds since an arbitrary fixed start."""
        ...


class MonotonicClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds of `time.monotonic`."""
        return time.monotonic()
