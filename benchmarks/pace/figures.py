"""Figures of a benchmark and their arithmetic: medians, spread, best of, ratios of neighbours in time."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BOOTSTRAP_ROUNDS = 2_000
"""Resamplings of an interval: enough for two digits at the 2.5 % ends."""

Measured = Mapping[str, Sequence[float]]
"""What each side spent, a value a round, in the order of the rounds."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours against a peer in the same run.

    Attributes:
        ratio: median over the rounds of what the peer spent over what ours spent; above 1 ours is faster.
        ours: median.
        peer: median.
        unit: of ours and peer.
        spread: least and greatest ratio of a round.
        best: ratio of the least that each side spent, ours' least and the peer's.
        num_rounds: rounds behind it.
    """

    ratio: float
    ours: float
    peer: float
    unit: str
    spread: tuple[float, float]
    best: tuple[float, float, float]
    num_rounds: int

    def to_goal(self) -> dict[str, Any]:
        """The five fields that results.json holds for a goal."""
        return {
            "ratio": rounded(self.ratio),
            "ours": rounded(self.ours),
            "peer": rounded(self.peer),
            "unit": self.unit,
            "spread": [rounded(value) for value in self.spread],
        }

    def to_row(self) -> dict[str, Any]:
        """All fields."""
        best = dict(zip(("best_ratio", "best_ours", "best_peer"), map(rounded, self.best), strict=True))
        return {**self.to_goal(), **best, "rounds": self.num_rounds}


@dataclass(frozen=True, slots=True)
class Value:
    """A figure of ours that is held against a limit, or against none.

    Attributes:
        value: the figure.
        unit: of value and limit.
        limit: what it may be at most (at least, for shares that ought to be high); None for no goal.
        spread: least and greatest of the rounds, or the ends of an interval; empty without either.
    """

    value: float
    unit: str
    limit: float | None = None
    spread: tuple[float, ...] = ()

    def to_goal(self) -> dict[str, Any]:
        """The three fields that results.json holds for a goal."""
        return {"value": rounded(self.value), "unit": self.unit, "limit": self.limit}

    def to_row(self) -> dict[str, Any]:
        """All fields."""
        return {**self.to_goal(), "spread": [rounded(value) for value in self.spread]}


@dataclass(frozen=True, slots=True)
class Skipped:
    """A figure that was not taken.

    Attributes:
        reason: why, for the reader of the table.
    """

    reason: str

    def to_row(self) -> dict[str, Any]:
        """All fields."""
        return {"skipped": self.reason}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: unique; the key among the goals.
        figure: what was measured.
        note: what was held against what.
        is_goal: whether it stands among the goals; else only among the rows.
    """

    name: str
    figure: Ratio | Value | Skipped
    note: str = ""
    is_goal: bool = True

    def to_dict(self) -> dict[str, Any]:
        """As results.json holds it."""
        return {"name": self.name, **self.figure.to_row(), "note": self.note}


def in_turns(sides: Mapping[str, Callable[[], float]], num_rounds: int, num_warm_up: int = 1) -> Measured:
    """Let every side measure itself once a round, the order turned round each time.

    Args:
        sides: each gives what it spent.
        num_rounds: rounds that count.
        num_warm_up: rounds before them.
    """
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(num_warm_up + num_rounds):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            value = sides[name]()
            if number >= num_warm_up:
                spent[name].append(value)
    return spent


def compare(ours: Sequence[float], peer: Sequence[float], unit: str, scale: float = 1.0) -> Ratio:
    """Ratio of two sides that were measured in turns.

    Args:
        ours: a value a round, lower is better.
        peer: as ours, of the same rounds.
        unit: of the values after scaling.
        scale: factor from the values to the unit.
    """
    ratios = [b / a for a, b in zip(ours, peer, strict=True)]
    least_ours, least_peer = min(ours), min(peer)
    return Ratio(
        ratio=statistics.median(ratios),
        ours=statistics.median(ours) * scale,
        peer=statistics.median(peer) * scale,
        unit=unit,
        spread=(min(ratios), max(ratios)),
        best=(least_peer / least_ours, least_ours * scale, least_peer * scale),
        num_rounds=len(ratios),
    )


def middle(values: Sequence[float], unit: str, scale: float = 1.0, limit: float | None = None) -> Value:
    """Median of a side, with the least and the greatest."""
    scaled = [value * scale for value in values]
    return Value(statistics.median(scaled), unit, limit, (min(scaled), max(scaled)))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, interpolated."""
    return float(np.quantile(np.asarray(values, dtype=np.float64), share))


def compare_quantiles(
    ours: Sequence[float], peer: Sequence[float], share: float, unit: str, scale: float = 1.0
) -> Ratio:
    """Quantile of ours over that of the peer, the spread being a 95 % bootstrap interval; lower is better.

    For times of single requests, which have no neighbours to be paired with.
    """
    draw = np.random.default_rng(0)
    tables = [np.asarray(values, dtype=np.float64) for values in (ours, peer)]
    drawn = [
        np.quantile(table[draw.integers(len(table), size=(BOOTSTRAP_ROUNDS, len(table)))], share, axis=1)
        for table in tables
    ]
    low, high = np.quantile(drawn[0] / drawn[1], (0.025, 0.975))
    at = [quantile(values, share) for values in (ours, peer)]
    least = [min(values) * scale for values in (ours, peer)]
    best = (least[0] / least[1], least[0], least[1])
    unit = f"{unit}, p{round(100 * share)}"
    spread = (float(low), float(high))
    return Ratio(at[0] / at[1], at[0] * scale, at[1] * scale, unit, spread, best, len(ours))


def paired_interval(
    before: Sequence[float], after: Sequence[float], weights: Sequence[float], seed: int = 0
) -> tuple[float, float, float]:
    """Difference of two ratios of sums over the same clips, with its 95 % bootstrap interval over clips.

    Args:
        before: errors of one side, a clip a value.
        after: errors of the other on the same clips.
        weights: reference words of these clips.

    Returns:
        sum(after - before) / sum(weights), and the lower and the upper end.
    """
    added = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    words = np.asarray(weights, dtype=np.float64)
    draw = np.random.default_rng(seed)
    rates = []
    for _ in range(BOOTSTRAP_ROUNDS):  # one at a time: all at once would be clips x rounds of memory
        drawn = draw.integers(len(added), size=len(added))
        rates.append(added[drawn].sum() / words[drawn].sum())
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(added.sum() / words.sum()), float(low), float(high)


def rounded(value: float) -> float:
    """Four digits that count."""
    return float(f"{value:.4g}")
