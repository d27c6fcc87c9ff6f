"""Wrong options that sound plausible: drawn by how easily they are taken for what is heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from rapidfuzz import fuzz

from eureka.dataflux.taxonomy import Taxonomy
from eureka.training.manifest import ManifestClip
from eureka.training.questions import slot_words
from eureka.training.real_pack import plain_words
from eureka.training.sound_labels import sound_phrase

Confusion = Mapping[str, Mapping[str, float]]
"""What was heard -> what was said instead -> how often, from an evaluation; may be empty."""

NUM_WRONG = 3
"""Wrong options beside the right one."""

RARE = 0.1
"""Weight of a phrase that no clip has: as a wrong option it says only that it is wrong."""

_LOOKED_AT = 48
"""Texts among which the nearest are taken: all of them would give the same few each time."""

_TOO_NEAR = 85.0
"""Texts more similar than this are told apart by luck."""

_MIN_WORD_LETTERS = 3


class Distractors:
    """Draws wrong options.

    Args:
        taxonomy: tells phrases apart.
        rows: train clips; their words and orders are the pool.
        confusion: measured confusion of phrases.
    """

    def __init__(
        self, taxonomy: Taxonomy, rows: Sequence[ManifestClip], confusion: Confusion | None = None
    ) -> None:
        self._taxonomy = taxonomy
        self._confusion = confusion or {}
        self._prevalence = _prevalence(rows)
        said = {plain_words(row.text) for row in rows if row.text}
        self._texts = sorted(text for text in said if text)
        words = {word for text in self._texts for word in text.split()}
        self._words = sorted(word for word in words if len(word) >= _MIN_WORD_LETTERS)
        self._values: dict[str, list[str]] = {}
        for row in rows:
            for name, value in row.slots.items():
                self._values.setdefault(slot_words(name), []).append(value)
        self._values = {name: sorted(set(values)) for name, values in self._values.items()}

    def phrases(
        self,
        right: str,
        heard: Iterable[str],
        rng: np.random.Generator,
        count: int = NUM_WRONG,
        among: Iterable[str] | None = None,
    ) -> list[str]:
        """Phrases that are not heard for sure, those near to `right` more often."""
        present = {right, *heard}
        absent = self._taxonomy.absent(present)
        if among is not None:
            allowed = set(among)
            absent = [phrase for phrase in absent if phrase in allowed]
        wrong: list[str] = []
        while absent and len(wrong) < count:
            weights = np.array([self._weight(right, phrase) for phrase in absent])
            chosen = absent[int(rng.choice(len(absent), p=weights / weights.sum()))]
            wrong.append(chosen)
            absent = [phrase for phrase in absent if self._taxonomy.are_distinct(phrase, chosen)]
        return wrong

    def texts(self, right: str, rng: np.random.Generator) -> list[str]:
        """Texts that somebody else said, near in sound of letters and length to what is said."""
        length = len(right.split())
        slack = length // 4
        pool = [t for t in self._texts if abs(len(t.split()) - length) <= slack and t != right]
        return _nearest(right, self._drawn(pool, rng))

    def words(self, right: str, said: str, rng: np.random.Generator) -> list[str]:
        """Words that are not said, near to one that is."""
        spoken = set(said.split())
        pool = [word for word in self._drawn(self._words, rng) if not _is_form_of_any(word, spoken)]
        return _nearest(right, pool)

    def values(self, slot: str, right: str, rng: np.random.Generator) -> list[str]:
        """Other values of a slot, none of which holds the words of another option."""
        wrong: list[str] = []
        values = self._values.get(slot, [])
        for index in rng.permutation(len(values)):
            value = values[int(index)]
            if not any(_overlap(value, other) for other in (right, *wrong)):
                wrong.append(value)
        return wrong[:NUM_WRONG]

    def _weight(self, right: str, phrase: str) -> float:
        measured = self._confusion.get(right, {}).get(phrase, 0.0)
        # What is seldom right would be known for wrong without listening.
        common = self._prevalence.get(phrase, RARE)
        return self._taxonomy.nearness(right, phrase) * (1.0 + measured) * common

    def _drawn(self, pool: Sequence[str], rng: np.random.Generator) -> list[str]:
        if not pool:
            return []
        return [pool[int(index)] for index in dict.fromkeys(rng.integers(len(pool), size=_LOOKED_AT))]


def _prevalence(rows: Sequence[ManifestClip]) -> dict[str, float]:
    """How often a phrase is heard in the clips, against the mean of all: half even, half by clips."""
    counts = Counter(sound_phrase(row.label) for row in rows if row.label)
    mean = counts.total() / max(1, len(counts))
    return {phrase: 0.5 + 0.5 * count / mean for phrase, count in counts.items()}


def _nearest(right: str, pool: Sequence[str]) -> list[str]:
    """The nearest of a pool that differ from the right one and from each other."""
    rated = sorted(pool, key=lambda text: (-fuzz.ratio(right, text), text))
    wrong: list[str] = []
    for text in rated:
        if all(fuzz.ratio(text, other) < _TOO_NEAR for other in (right, *wrong)):
            wrong.append(text)
    return wrong[:NUM_WRONG]


def _is_form_of_any(word: str, spoken: set[str]) -> bool:
    """Whether the word or a form of it is said: a plural is too near to be wrong for sure."""
    return any(word.startswith(other) or other.startswith(word) for other in spoken)


def _overlap(one: str, other: str) -> bool:
    first, second = set(one.split()), set(other.split())
    return first <= second or second <= first
