"""Joining the transcripts of two windows that heard the same second.

A word at the edge of a window is often cut and misheard; the other window heard it whole. The join
goes through the longest run of words that both have, where a word at the edge may be a part of its
whole, and drops the few words beyond the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORDS_PER_SECOND = 5
"""Fast speech; bounds how far from the edge a shared word may be looked for."""

_MOST_EDGE_WORDS = 2
"""Words that may be dropped on each side: a cut word is heard as one or two others."""

_LEAST_LIKENESS = 0.6
"""Share of equal letters from which a word at the edge counts as a cut form of another."""

_SHORTEST_END = 2
"""Letters: a single one may be a word of its own."""

_SHORTEST_LIKE = 3
"""Letters: of two-letter words any two that share one would be alike."""

_EQUAL, _ALIKE = 2, 1
"""Worth of a pair of words; of whole words, and where one may be cut."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Pairs of words: `length` from `left` of the earlier words on, and from `right` of the later."""

    left: int
    right: int
    length: int
    worth: int
    dropped: int

    @property
    def is_seam(self) -> bool:
        """Whether the run is worth more than the words that it drops."""
        return self.worth > self.dropped

    @property
    def rank(self) -> tuple[int, int, int]:
        """For choosing among seams; a dropped word, which may be a real one, counts twice."""
        return self.worth - 2 * self.dropped, -self.dropped, self.length


def stitch_words(earlier: str, later: str, overlap_seconds: float) -> tuple[str, str]:
    """Both texts with what they share said once, in the earlier, and cut words at the seam dropped.

    Where nothing is shared both stay whole: a word said twice is better than a word lost.
    """
    before, after = earlier.split(), later.split()
    reach = int(overlap_seconds * _WORDS_PER_SECOND) + 1  # with one cut word
    tail, head = before[-reach:], after[:reach]
    run = _best_run([_bare(word) for word in tail], [_bare(word) for word in head])
    if run is None:
        return earlier, later
    kept = before[: len(before) - len(tail) + run.left]
    pairs = zip(tail[run.left :][: run.length], head[run.right :][: run.length], strict=True)
    # Of a cut word and its whole, the whole is longer.
    shared = [max(pair, key=lambda word: len(_bare(word))) for pair in pairs]
    return " ".join([*kept, *shared]), " ".join(after[run.right + run.length :])


def _best_run(tail: Sequence[str], head: Sequence[str]) -> _Run | None:
    runs = (
        _run(tail, head, left, right)
        for right in range(min(len(head), _MOST_EDGE_WORDS + 1))
        for left in range(len(tail))
    )
    return max((run for run in runs if run.is_seam), key=lambda run: run.rank, default=None)


def _run(tail: Sequence[str], head: Sequence[str], left: int, right: int) -> _Run:
    worths: list[int] = []
    for place, (one, other) in enumerate(zip(tail[left:], head[right:], strict=False)):
        is_edge = left + place == len(tail) - 1 or right + place == 0
        worth = _worth(one, other, is_edge)
        if not worth:
            break
        worths.append(worth)
    beyond = len(tail) - left - len(worths)
    worth = sum(worths) if beyond <= _MOST_EDGE_WORDS else 0
    return _Run(left, right, len(worths), worth, beyond + right)


def _worth(one: str, other: str, is_edge: bool) -> int:
    """Worth of a pair; only a word at the edge of its window may be a cut one."""
    if not one or not other:
        return 0
    if one == other:
        return _EQUAL
    return _ALIKE if is_edge and _are_alike(one, other) else 0


def _are_alike(one: str, other: str) -> bool:
    """Whether one is an end of the other, or most of their letters agree."""
    short, whole = sorted((one, other), key=len)
    if len(short) >= _SHORTEST_END and (whole.startswith(short) or whole.endswith(short)):
        return True
    if len(short) < _SHORTEST_LIKE:
        return False
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= _LEAST_LIKENESS


def _bare(word: str) -> str:
    """The word without case and outer punctuation; empty for punctuation alone."""
    return word.casefold().strip(".,;:!?\"'()[]-\u2026\u201c\u201d\u2019\u3002\uff0c\uff1f\uff01")
