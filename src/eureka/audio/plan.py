"""Windows of long audio: at most so long, cut where it is quiet, silence apart, in constant memory.

The owned spans tile the audio to the sample. A stretch of silence of 1 s or more is a window of its
own that no model needs to hear. Where a window must end without a pause, its neighbours hear a
little of each other (`heard` is then wider than `owned`), so that a word on the cut is heard whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eureka.types import SAMPLE_RATE_HZ, Pcm, Span

SILENCE_DBFS = -70.0
"""RMS level (full scale 1.0) below which a cell of 100 ms is silent: soft rain is heard."""

HOP_SAMPLES = 160
"""10 ms: cuts lie on this grid."""

HOPS_PER_CELL = 10
"""100 ms: silence is judged on this grid."""

CELL_SAMPLES = HOP_SAMPLES * HOPS_PER_CELL

CELLS_OF_SILENCE = 10
"""1 s: shorter silence stays inside its window."""

OVERLAP_SECONDS = 0.3
"""How far windows hear over a cut that is not quiet, on each side."""

DIP_HOPS = 5
"""50 ms: the cut goes through the quietest such place ..."""

PAUSE_HOPS = 20
"""... whose surroundings of 200 ms are quiet too: a pause, rather than the closure of a stop."""

PAUSE_DEPTH_DB = 12.0
"""A place is quiet when its 200 ms lie so far under the louder parts of the window."""

DEEPEST_DIP_DB = 40.0
"""A dip counts no more than this, so that a few zero samples do not beat a pause."""

LOUD_PERCENTILE = 90.0
SMALLEST_POWER = 1e-12


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """One window of the plan.

    Attributes:
        index: number of the window in the file, from 0.
        heard: what the model is given; may overlap with the neighbours'. Of a silent window: `owned`.
        owned: the part of the file that this window answers for.
        pcm: (heard.num_samples,) float32; empty for a silent window.
        is_silent: below the silence level in every 100 ms.
    """

    index: int
    heard: Span
    owned: Span
    pcm: Pcm
    is_silent: bool


def plan_windows(
    blocks: Iterable[Pcm], max_seconds: float, silence_dbfs: float = SILENCE_DBFS
) -> Iterator[PlannedWindow]:
    """Windows of the audio in `blocks`, in order, as soon as they are certain.

    Holds at most about 4/3 `max_seconds` + 1 s of audio, besides one block.

    Args:
        blocks: pcm (S,) float32 at 16 kHz, of any sizes.
        max_seconds: longest window; silent windows may be longer.
        silence_dbfs: RMS level below which 100 ms are silent.
    """
    if max_seconds < 1.0:
        raise ValueError(f"max_seconds must be at least 1, not {max_seconds}")
    planner = _Planner(int(max_seconds * SAMPLE_RATE_HZ) // HOP_SAMPLES, 10.0 ** (silence_dbfs / 10.0))
    for pcm, powers in _cells(blocks):
        yield from planner.push(pcm, powers)
    yield from planner.finish()


def is_silent(pcm: Pcm, silence_dbfs: float = SILENCE_DBFS) -> bool:
    """Whether every 100 ms of `pcm` (S,) lies below the level."""
    return _is_silent(_hop_powers(pcm), 10.0 ** (silence_dbfs / 10.0))


class _Planner:
    """Collects cells of sound until a window is certain; forgets silence.

    Positions are in hops of 10 ms until spans are made. `_sound` starts at `_heard_start`, of which
    the part before `_owned_start` is overlap with the window before.
    """

    def __init__(self, max_hops: int, silence_power: float) -> None:
        self._max_hops = max_hops
        self._overlap_hops = min(int(OVERLAP_SECONDS * SAMPLE_RATE_HZ) // HOP_SAMPLES, max_hops // 10)
        self._silence_power = silence_power
        self._index = 0
        self._num_hops = 0  # taken so far; the last may be shorter
        self._num_samples = 0
        self._sound = _Stretch()
        self._pending = _Stretch()  # quiet cells that may become silence
        self._heard_start = 0
        self._owned_start = 0
        self._in_silence = False

    def push(self, pcm: Pcm, powers: NDArray[np.float64]) -> Iterator[PlannedWindow]:
        """Take one cell of 100 ms (the last of the file may be shorter)."""
        cell_start = self._num_hops
        self._num_hops += len(powers)
        self._num_samples += len(pcm)
        if powers.mean() < self._silence_power:
            yield from self._push_quiet(pcm, powers)
            return
        if self._in_silence:
            yield self._silent_window(cell_start * HOP_SAMPLES)
            self._start_at(cell_start)
        self._sound.extend(self._pending)
        self._pending = _Stretch()
        self._sound.append(pcm, powers)
        while self._sound.num_hops * 3 >= self._max_hops * 4:
            yield self._cut_window(self._max_hops)

    def finish(self) -> Iterator[PlannedWindow]:
        """The windows that are left at the end of the file."""
        if self._in_silence:
            yield self._silent_window(self._num_samples)
            return
        self._sound.extend(self._pending)
        yield from self._end_sound()

    def _push_quiet(self, pcm: Pcm, powers: NDArray[np.float64]) -> Iterator[PlannedWindow]:
        if self._in_silence:
            return
        self._pending.append(pcm, powers)
        if self._pending.num_hops < CELLS_OF_SILENCE * HOPS_PER_CELL:
            return
        silence_start = self._num_hops - self._pending.num_hops
        self._pending = _Stretch()
        yield from self._end_sound()
        self._start_at(silence_start)
        self._in_silence = True

    def _start_at(self, hop: int) -> None:
        self._heard_start = self._owned_start = hop
        self._in_silence = False

    def _end_sound(self) -> Iterator[PlannedWindow]:
        """Window or windows of the sound so far; of a rest that is a little too long, two like halves."""
        while self._sound.num_hops > self._max_hops:
            yield self._cut_window(min(self._max_hops, self._sound.num_hops * 2 // 3))
        if self._sound.num_hops:
            yield self._window(self._sound.num_hops, self._sound.num_hops)
        self._sound = _Stretch()

    def _cut_window(self, longest_hops: int) -> PlannedWindow:
        """Cut at the quietest place in the second half (or so) of `longest_hops`, and keep the rest."""
        latest = longest_hops - self._overlap_hops
        place = _quietest_place(
            self._sound.powers(), max(1, longest_hops * 2 // 3 - self._overlap_hops), latest
        )
        overlap = 0 if place.is_quiet else self._overlap_hops
        window = self._window(place.hop + overlap, place.hop)
        cut = self._heard_start + place.hop
        self._sound = self._sound.after(place.hop - overlap)
        self._heard_start, self._owned_start = cut - overlap, cut
        return window

    def _window(self, heard_hops: int, owned_end_hops: int) -> PlannedWindow:
        """The window from `_heard_start`; lengths count from there."""
        pcm = self._sound.pcm()[: heard_hops * HOP_SAMPLES].copy()
        start = self._heard_start * HOP_SAMPLES
        heard = Span(start, start + len(pcm))
        owned_end = min(start + owned_end_hops * HOP_SAMPLES, heard.end_sample)
        owned = Span(self._owned_start * HOP_SAMPLES, owned_end)
        if _is_silent(self._sound.powers()[:heard_hops], self._silence_power):
            heard, pcm = owned, pcm[:0]
        window = PlannedWindow(self._index, heard, owned, pcm, is_silent=not len(pcm))
        self._index += 1
        return window

    def _silent_window(self, end_sample: int) -> PlannedWindow:
        span = Span(self._owned_start * HOP_SAMPLES, end_sample)
        window = PlannedWindow(self._index, span, span, np.zeros(0, np.float32), is_silent=True)
        self._index += 1
        return window


class _Stretch:
    """Samples with the mean power of each hop."""

    def __init__(self) -> None:
        self._pcm: list[Pcm] = []
        self._powers: list[NDArray[np.float64]] = []
        self.num_hops = 0

    def append(self, pcm: Pcm, powers: NDArray[np.float64]) -> None:
        self._pcm.append(pcm)
        self._powers.append(powers)
        self.num_hops += len(powers)

    def extend(self, other: _Stretch) -> None:
        self._pcm += other._pcm
        self._powers += other._powers
        self.num_hops += other.num_hops

    def pcm(self) -> Pcm:
        return np.concatenate(self._pcm)

    def powers(self) -> NDArray[np.float64]:
        return np.concatenate(self._powers)

    def after(self, hop: int) -> _Stretch:
        rest = _Stretch()
        rest.append(self.pcm()[hop * HOP_SAMPLES :].copy(), self.powers()[hop:])
        return rest


@dataclass(frozen=True, slots=True)
class _Place:
    hop: int
    is_quiet: bool


def _quietest_place(powers: NDArray[np.float64], first: int, last: int) -> _Place:
    """Where to cut in hops [first, last]: the deepest dip inside the deepest pause."""
    dip, pause = (_level_db(powers, hops) for hops in (DIP_HOPS, PAUSE_HOPS))
    loud = float(np.percentile(dip, LOUD_PERCENTILE))
    depth = np.maximum(dip, loud - DEEPEST_DIP_DB) + pause
    hop = first + int(np.argmin(depth[first : last + 1]))
    return _Place(hop, bool(pause[hop] <= loud - PAUSE_DEPTH_DB))


def _level_db(powers: NDArray[np.float64], hops: int) -> NDArray[np.float64]:
    """Level in dB of the `hops` around each hop's start; at the ends, of those there are."""
    sums = np.concatenate([[0.0], np.cumsum(powers)])
    start = np.clip(np.arange(len(powers)) - hops // 2, 0, len(powers))
    end = np.clip(start + hops, 0, len(powers))
    mean = np.maximum((sums[end] - sums[start]) / (end - start), SMALLEST_POWER)
    level: NDArray[np.float64] = 10.0 * np.log10(mean)
    return level


def _is_silent(powers: NDArray[np.float64], silence_power: float) -> bool:
    return all(
        powers[i : i + HOPS_PER_CELL].mean() < silence_power for i in range(0, len(powers), HOPS_PER_CELL)
    )


def _hop_powers(pcm: Pcm) -> NDArray[np.float64]:
    """Mean square of each 10 ms: (ceil(S / 160),)."""
    whole = len(pcm) // HOP_SAMPLES * HOP_SAMPLES
    squares = np.square(pcm[:whole].reshape(-1, HOP_SAMPLES), dtype=np.float64)
    powers: NDArray[np.float64] = squares.mean(axis=1)
    if whole == len(pcm):
        return powers
    return np.append(powers, np.square(pcm[whole:], dtype=np.float64).mean())


def _cells(blocks: Iterable[Pcm]) -> Iterator[tuple[Pcm, NDArray[np.float64]]]:
    """Cells of 100 ms on the grid of the file with their powers; the last may be shorter."""
    rest: Pcm = np.zeros(0, np.float32)
    for block in blocks:
        joined = np.concatenate([rest, block]) if len(rest) else block
        whole = len(joined) // CELL_SAMPLES * CELL_SAMPLES
        powers = _hop_powers(joined[:whole]).reshape(-1, HOPS_PER_CELL)
        yield from zip(joined[:whole].reshape(-1, CELL_SAMPLES), powers, strict=True)
        rest = joined[whole:].copy()
    if len(rest):
        yield rest, _hop_powers(rest)
