"""Generated audio, the same in each run; timings do not depend on what is heard."""

from __future__ import annotations

import numpy as np

from eureka.types import SAMPLE_RATE_HZ, Pcm


def make_clip(seconds: float, number: int = 0) -> Pcm:
    """Noise in bursts with pauses, so that windows can be cut as in speech.

    Each `number` is a little louder than the one before, so that an engine that keeps prompts about the same
    audio finds none that fits.
    """
    draw = np.random.default_rng(int(seconds))
    times = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    bursts = np.clip(np.sin(2 * np.pi * times / 3.0) * 4 + 3.2, 0.01, 1.0)
    return (0.1 * (1 + 0.01 * number) * bursts * draw.normal(size=len(times))).astype(np.float32)
