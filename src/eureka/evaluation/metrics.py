"""Scores of the evaluation, each with a bootstrap interval over clips.

Covers word and character errors, exact answers, named sounds, events with times, slots and AUC. All
but AUC and the median are ratios of sums over clips (errors / words, right / asked, 2 tp / (2 tp +
fp + fn)), so one class, `Tally`, carries them and one resampling serves them. What is heard and what
is asked come from elsewhere (`sets`, `hearing`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import jiwer
import numpy as np
from numpy.typing import NDArray

from eureka.training.sound_labels import caption_names_sound

BOOTSTRAP_ROUNDS = 1_000
"""Resamplings of an interval: enough for two digits at the 2.5 % ends."""

NORMALISATION = (
    "Unicode NFKC, lower case, hyphens and dashes to spaces, everything but letters, digits and "
    "apostrophes inside words removed, runs of spaces to one"
)
"""What `normalise_text` does, as reports state it."""

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""


def normalise_text(text: str) -> str:
    """The text as it is compared; see `NORMALISATION`."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    plain = re.sub(r"[-\u2010-\u2015_]", " ", plain)
    plain = re.sub(r"[^\w\s']", "", plain)
    words = (word.strip("'") for word in plain.split())
    return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Tally:
    """A score as a ratio of sums over clips: `numerators` and `denominators`, float64 (clips,)."""

    numerators: NDArray[np.float64]
    denominators: NDArray[np.float64]

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float]]) -> Tally:
        """Collect one (numerator, denominator) a clip."""
        table = np.array(list(pairs), dtype=np.float64).reshape(-1, 2)
        return cls(table[:, 0], table[:, 1])

    @property
    def num_clips(self) -> int:
        """Clips behind the score."""
        return len(self.numerators)

    @property
    def value(self) -> float:
        """The score over all clips; NaN without any."""
        total = self.denominators.sum()
        return float(self.numerators.sum() / total) if total > 0 else float("nan")

    def interval(self, seed: int = 0) -> Interval:
        """95 % bootstrap interval over clips."""
        if self.num_clips == 0:
            return (float("nan"), float("nan"))
        drawn = np.random.default_rng(seed).integers(self.num_clips, size=(BOOTSTRAP_ROUNDS, self.num_clips))
        totals = self.denominators[drawn].sum(axis=1)
        ratios = self.numerators[drawn].sum(axis=1) / np.where(totals > 0, totals, np.nan)
        return _middle(ratios[np.isfinite(ratios)])


def _middle(values: NDArray[np.float64]) -> Interval:
    if len(values) == 0:
        return (float("nan"), float("nan"))
    low, high = np.percentile(values, (2.5, 97.5))
    return (float(low), float(high))


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> Tally:
    """Word errors / reference words a clip, both sides normalised (jiwer's alignment)."""
    return Tally.of(
        edit_counts(normalise_text(said).split(), normalise_text(heard).split())
        for said, heard in zip(references, hypotheses, strict=True)
    )


def character_errors(references: Sequence[str], hypotheses: Sequence[str]) -> Tally:
    """Character errors / reference characters a clip, spaces included, both sides normalised."""
    return Tally.of(
        edit_counts(list(normalise_text(said)), list(normalise_text(heard)))
        for said, heard in zip(references, hypotheses, strict=True)
    )


def edit_counts(said: list[str], heard: list[str]) -> tuple[float, float]:
    """Edit distance and reference length; jiwer takes words, so symbols go in as private letters."""
    if not said:
        return float(len(heard)), 0.0
    if not heard:
        return float(len(said)), float(len(said))
    code = {symbol: chr(0x4E00 + i) for i, symbol in enumerate(dict.fromkeys(said + heard))}
    lines = [" ".join(code[symbol] for symbol in side) for side in (said, heard)]
    aligned = jiwer.process_words(lines[0], lines[1])
    return float(aligned.substitutions + aligned.deletions + aligned.insertions), float(len(said))


def exact_answers(references: Sequence[str], answers: Sequence[str | None]) -> Tally:
    """Clips whose normalised answer equals the normalised reference; None never does."""
    return Tally.of(
        (float(given is not None and normalise_text(given) == normalise_text(asked)), 1.0)
        for asked, given in zip(references, answers, strict=True)
    )


def caption_hits(labels: Sequence[str], captions: Sequence[str]) -> Tally:
    """Clips whose caption names their sound, by the rule of `eureka.training.sound_labels`.

    Args:
        labels: labels of the ten sounds, with spaces or underscores.
    """
    return Tally.of(
        (float(caption_names_sound(caption, label.replace(" ", "_"))), 1.0)
        for label, caption in zip(labels, captions, strict=True)
    )


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """One event of a scene: what is heard, from when to when, in seconds from the clip's start."""

    kind: str
    start_seconds: float
    end_seconds: float


def set_f1(truths: Sequence[Iterable[str]], answers: Sequence[Iterable[str]]) -> Tally:
    """Micro F1 of named things a clip; how often a thing is named does not matter."""
    return Tally.of(_f1_counts(set(a), set(b)) for a, b in zip(truths, answers, strict=True))


def _f1_counts(truth: set[str], answer: set[str]) -> tuple[float, float]:
    hits = len(truth & answer)
    return 2.0 * hits, float(len(truth) + len(answer))


def slot_f1(truths: Sequence[Mapping[str, str]], answers: Sequence[Mapping[str, str]]) -> Tally:
    """Micro F1 of (slot, value) pairs a clip; names and values are normalised."""
    return set_f1([_slot_pairs(t) for t in truths], [_slot_pairs(a) for a in answers])


def _slot_pairs(slots: Mapping[str, str]) -> list[str]:
    return [f"{normalise_text(name)}={normalise_text(value)}" for name, value in slots.items()]


def timed_f1(
    truths: Sequence[Sequence[TimedEvent]],
    answers: Sequence[Sequence[TimedEvent]],
    tolerance_seconds: float = 0.5,
    *,
    with_ends: bool = True,
) -> Tally:
    """Micro F1 of events that agree in kind and lie within the tolerance, matched one to one.

    Args:
        with_ends: ask for the end as well as the start; else the start alone decides.
    """
    return Tally.of(
        (2.0 * len(match_events(t, a, tolerance_seconds, with_ends=with_ends)), float(len(t) + len(a)))
        for t, a in zip(truths, answers, strict=True)
    )


def match_events(
    truth: Sequence[TimedEvent],
    answer: Sequence[TimedEvent],
    tolerance_seconds: float,
    *,
    with_ends: bool = True,
) -> list[tuple[TimedEvent, TimedEvent]]:
    """Pairs of the same kind within the tolerance, the nearest pairs first, each event once."""
    near = sorted(
        (
            (_distance(a, b, with_ends), i, j)
            for i, a in enumerate(truth)
            for j, b in enumerate(answer)
            if a.kind == b.kind and _distance(a, b, with_ends) <= tolerance_seconds + 1e-9
        ),
    )
    pairs: list[tuple[TimedEvent, TimedEvent]] = []
    taken: tuple[set[int], set[int]] = (set(), set())
    for _, i, j in near:
        if i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
            pairs.append((truth[i], answer[j]))
    return pairs


def _distance(a: TimedEvent, b: TimedEvent, with_ends: bool) -> float:
    start = abs(a.start_seconds - b.start_seconds)
    return max(start, abs(a.end_seconds - b.end_seconds)) if with_ends else start


def area_under_curve(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Chance that a positive scores above a negative, ties half: AUC; NaN without both."""
    if not len(positives) or not len(negatives):
        return float("nan")
    order = np.sort(np.asarray(negatives, dtype=np.float64))
    high = np.asarray(positives, dtype=np.float64)
    below = np.searchsorted(order, high, side="left") + np.searchsorted(order, high, side="right")
    return float(below.mean() / 2 / len(order))


def area_interval(positives: Sequence[float], negatives: Sequence[float], seed: int = 0) -> Interval:
    """95 % bootstrap interval of the AUC, both sides resampled."""
    if not len(positives) or not len(negatives):
        return (float("nan"), float("nan"))
    draw = np.random.default_rng(seed)
    high, low = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    areas = [
        area_under_curve(draw.choice(high, len(high)).tolist(), draw.choice(low, len(low)).tolist())
        for _ in range(BOOTSTRAP_ROUNDS)
    ]
    return _middle(np.array(areas))


def median_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """95 % bootstrap interval of the median."""
    if not len(values):
        return (float("nan"), float("nan"))
    table = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(len(table), size=(BOOTSTRAP_ROUNDS, len(table)))
    return _middle(np.median(table[drawn], axis=1))


def commonest(values: Iterable[str], limit: int = 5) -> list[tuple[str, int]]:
    """The values that occur most, with their counts: what a report shows of confusions."""
    return Counter(values).most_common(limit)
