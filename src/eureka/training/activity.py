"""Where something is heard in a clip: parts above its silence, from the mel powers alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_SECOND = 100
"""Mel frames a second: 16 kHz over a hop of 160 samples."""

DEPTH_DB = 30.0
"""A frame counts as heard down to this far below the clip's loud frames (95th percentile)."""

MERGE_GAP_SECONDS = 0.3
MIN_PART_SECONDS = 0.08

_LN10 = np.float32(np.log(10.0))

Parts = tuple[tuple[float, float], ...]
"""Parts (start, end) in seconds, in order, not touching."""


def frame_power(raw: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Summed mel power of each frame: raw log10 mels (F, M) -> (F,) float32."""
    # exp of float32 is a vector loop, ten times faster than power.
    return np.asarray(np.exp(raw.astype(np.float32, copy=False) * _LN10).sum(axis=1))


def mean_power(raw: NDArray[np.floating[Any]]) -> float:
    """Mean over frames of the summed mel power of raw log10 mels (F, M)."""
    return float(frame_power(raw).mean())


def active_parts(raw: NDArray[np.floating[Any]], depth_db: float = DEPTH_DB) -> Parts:
    """Parts of a clip in which it is louder than `depth_db` below its loud frames.

    Args:
        raw: log10 mel powers (F, M), not floored.
        depth_db: how far below the 95th percentile of the frames' power still counts.

    Returns:
        Parts in seconds; short gaps are bridged, very short parts dropped. A stationary sound is one part.
    """
    power = frame_power(raw)
    if power.size == 0:
        return ()
    is_active = power > np.percentile(power, 95) * 10 ** (-depth_db / 10)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], is_active.astype(np.int8), [0]))))
    parts = [(start / FRAMES_PER_SECOND, end / FRAMES_PER_SECOND) for start, end in edges.reshape(-1, 2)]
    merged = merge_parts(parts, MERGE_GAP_SECONDS)
    return tuple(part for part in merged if part[1] - part[0] >= MIN_PART_SECONDS) or merged


def merge_parts(parts: list[tuple[float, float]] | Parts, gap_seconds: float) -> Parts:
    """Parts in order of start, those closer than `gap_seconds` joined into one."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(parts):
        if merged and start - merged[-1][1] < gap_seconds:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)
