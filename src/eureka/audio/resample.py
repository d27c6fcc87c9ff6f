"""Resampling to 16 kHz by windowed sinc, block by block in constant memory (numpy only).

The same low-pass as torchaudio's default (`torchaudio.functional.resample`: Hann window, low-pass
width 6, roll-off 0.99), which is the reference of the model's training. Output sample n lies at
input position n * source_hz / 16000; each is a weighted sum of the input samples around it. The
weights repeat after 16000 / gcd outputs (phases), so they are tabled once a source rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

from eureka.types import SAMPLE_RATE_HZ, Pcm

LOWPASS_FILTER_WIDTH = 6
"""Zero crossings of the sinc on each side."""

ROLLOFF = 0.99
"""Cut-off as a share of the lower Nyquist frequency."""

OUTPUTS_PER_TURN = 16_000
"""Output samples computed at once: bounds the gathered input to a few MiB at any source rate."""


@dataclass(frozen=True, slots=True)
class SincTable:
    """Weights of one source rate.

    Attributes:
        step: input samples a round of phases (source rate / gcd).
        num_phases: output samples a round (16000 / gcd), at most 16,000.
        reach: input samples used on each side of the output's position.
        first: (num_phases,) offset of the first input sample, relative to the round's start.
        weights: (num_phases, 2 * reach + 2) float32.
    """

    step: int
    num_phases: int
    reach: int
    first: NDArray[np.int64]
    weights: NDArray[np.float32]


@lru_cache(maxsize=8)
def sinc_table(source_hz: int) -> SincTable:
    """Weights for `source_hz` -> 16 kHz, computed in float64."""
    common = gcd(source_hz, SAMPLE_RATE_HZ)
    step, num_phases = source_hz // common, SAMPLE_RATE_HZ // common
    cutoff = min(step, num_phases) * ROLLOFF
    reach = ceil(LOWPASS_FILTER_WIDTH * step / cutoff)
    phase = np.arange(num_phases, dtype=np.int64)
    middle = phase * step // num_phases
    taps = middle[:, None] + np.arange(-reach, reach + 2)  # (num_phases, 2 * reach + 2)
    crossings = (taps / step - phase[:, None] / num_phases) * cutoff
    inside = np.clip(crossings, -LOWPASS_FILTER_WIDTH, LOWPASS_FILTER_WIDTH)
    hann = np.cos(inside * np.pi / LOWPASS_FILTER_WIDTH / 2) ** 2
    weights = (np.sinc(inside) * hann * (cutoff / step)).astype(np.float32)
    return SincTable(step, num_phases, reach, middle - reach, weights)


class StreamingResampler:
    """Resamples one stream to 16 kHz; the joined output does not depend on the block sizes.

    Args:
        source_hz: rate of the input; at 16,000 the blocks pass unchanged.
    """

    def __init__(self, source_hz: int) -> None:
        if source_hz <= 0:
            raise ValueError(f"source_hz must be positive, not {source_hz}")
        self._table = None if source_hz == SAMPLE_RATE_HZ else sinc_table(source_hz)
        reach = 0 if self._table is None else self._table.reach
        self._buffer = np.zeros(reach, np.float32)
        self._buffer_start = -reach  # position in the input of the buffer's first sample
        self._num_pushed = 0
        self._num_emitted = 0

    def push(self, block: Pcm) -> Pcm:
        """Take the next input samples (S,); return the outputs they complete, possibly none."""
        if self._table is None:
            return block
        self._num_pushed += len(block)
        self._buffer = np.concatenate([self._buffer, block])
        return self._emit(self._num_complete(self._table))

    def flush(self) -> Pcm:
        """End the stream: the outputs that still lack input, as if zeros followed."""
        if self._table is None:
            return np.zeros(0, np.float32)
        total = -(-self._num_pushed * self._table.num_phases // self._table.step)
        missing = np.zeros(2 * self._table.reach + 2, np.float32)
        self._buffer = np.concatenate([self._buffer, missing])
        return self._emit(total)

    def _num_complete(self, table: SincTable) -> int:
        """Outputs whose last tap (middle + reach + 1) has been pushed."""
        last_middle = self._num_pushed - table.reach - 2
        return max(0, -(-(last_middle + 1) * table.num_phases // table.step))

    def _emit(self, num_outputs: int) -> Pcm:
        table = self._table
        assert table is not None
        turns = [
            self._turn(table, start, min(start + OUTPUTS_PER_TURN, num_outputs))
            for start in range(self._num_emitted, num_outputs, OUTPUTS_PER_TURN)
        ]
        self._num_emitted = max(self._num_emitted, num_outputs)
        self._drop_used(table)
        return np.concatenate(turns) if turns else np.zeros(0, np.float32)

    def _turn(self, table: SincTable, start: int, end: int) -> Pcm:
        rounds, phases = np.divmod(np.arange(start, end), table.num_phases)
        first = rounds * table.step + table.first[phases] - self._buffer_start
        width = table.weights.shape[1]
        taps = np.lib.stride_tricks.sliding_window_view(self._buffer, width)[first]  # (outputs, width)
        summed: Pcm = np.einsum("nw,nw->n", taps, table.weights[phases])
        return summed

    def _drop_used(self, table: SincTable) -> None:
        """Forget input before the first tap of the next output."""
        middle = self._num_emitted * table.step // table.num_phases
        used = min(middle - table.reach - self._buffer_start, len(self._buffer))
        self._buffer = self._buffer[used:].copy()
        self._buffer_start += used


def resample(pcm: Pcm, source_hz: int) -> Pcm:
    """The whole of `pcm` (S,) at 16 kHz: ceil(S * 16000 / source_hz) samples."""
    resampler = StreamingResampler(source_hz)
    return np.concatenate([resampler.push(pcm), resampler.flush()])
