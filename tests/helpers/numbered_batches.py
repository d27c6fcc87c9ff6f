"""Batches that name their number, for tests of streams and loops; numpy only, so that workers start fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class NumberedBatches:
    """Batch `index` holds rows that depend on the index and the phase alone.

    Args:
        phase: another value gives other batches.
        joined: how many numbers one batch covers; 2 gives batches 0+1, 2+3, ...
        fails_at: this number ends the worker.
    """

    phase: int = 0
    joined: int = 1
    fails_at: int = -1

    def make(self, index: int) -> np.ndarray:
        if index == self.fails_at:
            raise ValueError(f"no batch {index}")
        numbers = range(index * self.joined, (index + 1) * self.joined)
        rows = [np.random.default_rng((self.phase, n)).standard_normal((3, 6), np.float32) for n in numbers]
        return np.concatenate(rows)
