"""Encoder outputs for texts that nobody spoke: aligned pieces of real outputs, glued along phones.

The cached outputs of aligned speech are cut at phone borders and indexed by (left, phone, right). For a
text, its phones are looked up and one piece is drawn for each, going on inside the same clip where the
next phone allows. This trains the decoder on any text without running the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eureka.training.alignment import SILENCE

_GO_ON = 0.6
"""Chance to take the next piece from the same clip when its phone fits."""

_PAUSE_CHANCE = 0.2
_MAX_PAUSE_FRAMES = 14
_EDGE_FRAMES = (3, 16)


class PhonePieces:
    """Pieces of encoder outputs by phone context.

    Args:
        phones: (N, 3) rows (phone, first frame, end frame) in the cache's own frames, clip after clip.
        clip_of: (N,) number of the clip of each piece.
    """

    def __init__(self, phones: NDArray[np.int64], clip_of: NDArray[np.int64]) -> None:
        self.phone, self.start, self.end = phones.T
        same_before = np.concatenate([[False], clip_of[1:] == clip_of[:-1]])
        same_after = np.concatenate([clip_of[1:] == clip_of[:-1], [False]])
        self._follows = same_after
        left = np.where(same_before, np.roll(self.phone, 1), SILENCE)
        right = np.where(same_after, np.roll(self.phone, -1), SILENCE)
        self._tables = [
            _table(_key(left, self.phone, right)),
            _table(_key(left, self.phone, np.full_like(right, -1))),
            _table(_key(np.full_like(left, -1), self.phone, right)),
            _table(_key(np.full_like(left, -1), self.phone, np.full_like(right, -1))),
        ]

    def __len__(self) -> int:
        return len(self.phone)

    def choose(
        self, words: Sequence[Sequence[int]], rng: np.random.Generator
    ) -> list[tuple[int, int]] | None:
        """Frame ranges (first, end) that say the words; None where a phone was never heard."""
        wanted = self._with_pauses(words, rng)
        ranges: list[tuple[int, int]] = []
        piece = -1
        for place, phone in enumerate(wanted):
            left = wanted[place - 1] if place else SILENCE
            right = wanted[place + 1] if place + 1 < len(wanted) else SILENCE
            piece = self._next(piece, left, phone, right, rng)
            if piece < 0:
                return None
            ranges.append(self._range(piece, phone, place in (0, len(wanted) - 1), rng))
        return ranges

    def _with_pauses(self, words: Sequence[Sequence[int]], rng: np.random.Generator) -> list[int]:
        wanted = [SILENCE]
        for number, word in enumerate(words):
            if number and rng.random() < _PAUSE_CHANCE:
                wanted.append(SILENCE)
            wanted.extend(word)
        wanted.append(SILENCE)
        return wanted

    def _next(self, before: int, left: int, phone: int, right: int, rng: np.random.Generator) -> int:
        goes_on = before >= 0 and self._follows[before] and self.phone[before + 1] == phone
        if goes_on and rng.random() < _GO_ON:
            return before + 1
        keys = ((left, phone, right), (left, phone, -1), (-1, phone, right), (-1, phone, -1))
        for table, key in zip(self._tables, keys, strict=True):
            pieces = table.get(_key_of(*key))
            if pieces is not None:
                return int(pieces[rng.integers(len(pieces))])
        return -1

    def _range(self, piece: int, phone: int, is_edge: bool, rng: np.random.Generator) -> tuple[int, int]:
        start, end = int(self.start[piece]), int(self.end[piece])
        if phone == SILENCE:
            longest = int(rng.integers(*_EDGE_FRAMES)) if is_edge else int(rng.integers(2, _MAX_PAUSE_FRAMES))
            end = min(end, start + longest)
        return start, end


def glue(
    frames: NDArray[np.float16], ranges: Sequence[tuple[int, int]], stack: int = 4
) -> NDArray[np.float16]:
    """Concatenate ranges of cached outputs; the last frame is repeated up to a whole stack."""
    joined = np.concatenate([frames[start:end] for start, end in ranges])
    missing = -len(joined) % stack
    return np.concatenate([joined, np.repeat(joined[-1:], missing, axis=0)]) if missing else joined


def _key(left: NDArray[np.int64], phone: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each context; -1 on a side stands for any phone."""
    return ((left + 1) * 64 + phone) * 64 + right + 1


def _key_of(left: int, phone: int, right: int) -> int:
    return ((left + 1) * 64 + phone) * 64 + right + 1


def _table(keys: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    order = np.argsort(keys, kind="stable")
    values, starts = np.unique(keys[order], return_index=True)
    parts = np.split(order, starts[1:])
    return {int(value): part for value, part in zip(values, parts, strict=True)}
