"""A longer recording of the demo: its samples one after another, with pauses of digital silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eureka.evaluation.demo_sample import DemoSample, make_demo_sample
from eureka.types import SAMPLE_RATE_HZ, Pcm

NUM_SAMPLES = 4
"""Different samples in a recording; after them they come again. Speaking one takes a quarter of a second."""

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.5, 3.5
"""Longer than the second from which a job takes digital silence for silence, and hears nothing there."""


@dataclass(frozen=True, slots=True, eq=False)
class DemoRecording:
    """A recording and what lies in it.

    Attributes:
        pcm: (S,) float32, 16 kHz.
        samples: in order.
    """

    pcm: Pcm
    samples: tuple[DemoSample, ...]

    @property
    def text(self) -> str:
        """All that is said."""
        return " ".join(sample.text for sample in self.samples)


def make_demo_recording(seed: int, data_folder: Path | None = None, seconds: float = 90.0) -> DemoRecording:
    """Samples of `seed` and of the seeds after it, each with a pause behind it.

    Args:
        seed: of the first sample, and of the pauses.
        data_folder: pack of recordings; its sounds are used where it is there.
        seconds: the last sample may go a little beyond.
    """
    draw = np.random.default_rng([abs(seed), 11])
    samples = _samples(seed, data_folder)
    placed: list[DemoSample] = []
    parts: list[Pcm] = []
    while sum(map(len, parts)) < seconds * SAMPLE_RATE_HZ:
        placed.append(next(samples))
        pause = int(draw.uniform(MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS) * SAMPLE_RATE_HZ)
        parts += [placed[-1].pcm, np.zeros(pause, dtype=np.float32)]
    return DemoRecording(np.concatenate(parts), tuple(placed))


def _samples(seed: int, data_folder: Path | None) -> Iterator[DemoSample]:
    """Without end; each is made once."""
    made: list[DemoSample] = []
    for number in range(NUM_SAMPLES):
        made.append(make_demo_sample(seed + number, data_folder))
        yield made[-1]
    while True:
        yield from made
