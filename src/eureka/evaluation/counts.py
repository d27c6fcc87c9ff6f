"""Scores as ratios of sums over items, by class: their value, their interval, and two of them paired.

Word errors / words, right / asked, 2 tp / (2 tp + fp + fn): every score here is one ratio of sums, or the
mean of such a ratio over classes (macro-F1). So an item contributes a pair of numbers to each class that it
touches, and one resampling of items serves all scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eureka.evaluation.metrics import BOOTSTRAP_ROUNDS, Interval

ONE_CLASS = "all"
"""Name of the class of a score that knows no classes."""

Counts = Mapping[str, tuple[float, float]]
"""What one item contributes to a score: class -> (numerator, denominator)."""

Matrix = NDArray[np.float64]

_DRAWN_AT_ONCE = 4_000_000
"""Cells (rounds, items) of one block of resamplings: 32 MB."""


def one(numerator: float, denominator: float = 1.0) -> Counts:
    """The contribution of an item to a score without classes."""
    return {ONE_CLASS: (float(numerator), float(denominator))}


def label_counts(truth: str, answer: str | None) -> Counts:
    """What an item contributes to macro-F1; None is an answer outside the set, and misses the truth only."""
    if truth == answer:
        return {truth: (2.0, 2.0)}
    missed = {truth: (0.0, 1.0)}
    return missed if answer is None else missed | {answer: (0.0, 1.0)}


@dataclass(frozen=True, slots=True, eq=False)
class ClassTally:
    """A score over items, the mean over classes of ratios of sums; matrices are float64 (items, classes)."""

    numerators: Matrix
    denominators: Matrix

    @classmethod
    def of(cls, items: Sequence[Counts], classes: Sequence[str] | None = None) -> ClassTally:
        """Collect what each item contributes; `classes` as they occur when omitted."""
        names = list(classes or _classes(items))
        place = {name: column for column, name in enumerate(names)}
        numerators, denominators = np.zeros((2, len(items), len(names)))
        for row, counts in enumerate(items):
            for name, pair in counts.items():
                numerators[row, place[name]], denominators[row, place[name]] = pair
        return cls(numerators, denominators)

    @property
    def num_items(self) -> int:
        """Items behind the score."""
        return len(self.numerators)

    @property
    def value(self) -> float:
        """The score over all items; NaN without any."""
        return float(_means(self.numerators.sum(axis=0)[None], self.denominators.sum(axis=0)[None])[0])

    def resampled(self, seed: int = 0) -> NDArray[np.float64]:
        """The score of each of `BOOTSTRAP_ROUNDS` resamplings of the items, (rounds,)."""
        draw = np.random.default_rng(seed)
        parts = [self._means_of(weights) for weights in _weights(draw, self.num_items)]
        return np.concatenate(parts) if parts else np.full(1, np.nan)

    def interval(self, seed: int = 0) -> Interval:
        """95 % bootstrap interval over items."""
        return _middle(self.resampled(seed))

    def _means_of(self, weights: Matrix) -> NDArray[np.float64]:
        return _means(weights @ self.numerators, weights @ self.denominators)


def _classes(items: Iterable[Counts]) -> list[str]:
    return sorted({name for counts in items for name in counts})


def _weights(draw: np.random.Generator, num_items: int) -> Iterable[Matrix]:
    """How often each item was drawn in each round: blocks of (rounds, items)."""
    if num_items == 0:
        return
    left, at_once = BOOTSTRAP_ROUNDS, max(1, _DRAWN_AT_ONCE // num_items)
    while left > 0:
        rounds = min(left, at_once)
        drawn = draw.integers(num_items, size=(rounds, num_items))
        weights = np.zeros((rounds, num_items))
        np.add.at(weights, (np.arange(rounds)[:, None], drawn), 1.0)
        yield weights
        left -= rounds


def _means(numerators: Matrix, denominators: Matrix) -> NDArray[np.float64]:
    """Mean over the classes that occur of the ratios in each row; NaN for rows where none does."""
    occurs = denominators > 0
    ratios = np.where(occurs, numerators, 0.0) / np.where(occurs, denominators, 1.0)
    counts = occurs.sum(axis=1)
    means: NDArray[np.float64] = np.where(counts > 0, ratios.sum(axis=1) / np.maximum(counts, 1), np.nan)
    return means


def _middle(values: NDArray[np.float64]) -> Interval:
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return (float("nan"), float("nan"))
    low, high = np.percentile(finite, (2.5, 97.5))
    return (float(low), float(high))


@dataclass(frozen=True, slots=True)
class PairedChange:
    """How a score changed from A to B over the items that both have.

    Attributes:
        before: A's score over these items.
        after: B's.
        interval: 95 % of B - A, both resampled by the same draws.
        num_items: items that both have.
        num_changed: of them, those that contribute something else in B.
    """

    before: float
    after: float
    interval: Interval
    num_items: int
    num_changed: int

    @property
    def change(self) -> float:
        """B - A."""
        return self.after - self.before

    @property
    def is_difference(self) -> bool:
        """Whether the interval of the change leaves out zero."""
        low, high = self.interval
        return low > 0 or high < 0


def paired_change(before: Mapping[str, Counts], after: Mapping[str, Counts], seed: int = 0) -> PairedChange:
    """Paired bootstrap of two runs over the same items.

    Args:
        before: item -> what it contributes in A.
        after: the same in B; items that only one has are left out.
        seed: of the draws.
    """
    shared = [item for item in before if item in after]
    first, second = [before[item] for item in shared], [after[item] for item in shared]
    classes = _classes([*first, *second])
    a, b = ClassTally.of(first, classes), ClassTally.of(second, classes)
    changes = b.resampled(seed) - a.resampled(seed)
    num_changed = sum(dict(x) != dict(y) for x, y in zip(first, second, strict=True))
    return PairedChange(a.value, b.value, _middle(changes), len(shared), num_changed)
