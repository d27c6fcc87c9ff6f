"""The grounded writer: questions that follow from a structured caption, with plausible wrong options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from eureka.dataflux.distractors import NUM_WRONG, Distractors
from eureka.dataflux.items import Item
from eureka.dataflux.phrasings import PHRASINGS
from eureka.dataflux.records import Caption, Question, digest_of
from eureka.dataflux.solve import NOBODY, NUMBERS, SPEAKERS, seconds_in, sole_option
from eureka.dataflux.taxonomy import Taxonomy
from eureka.training.events import Event
from eureka.training.sound_labels import all_phrases, is_continuous_phrase, is_speech_phrase

VERSION = 1
"""Raised when the questions of a caption change."""

MIN_LENGTH_SECONDS = 0.5
"""Shorter sounds have no length worth asking for."""

MIN_GAP_SECONDS = 1.2
"""Between two times that are options."""

MAX_SAID_WORDS = 12
"""Longer texts are no option that one can keep in mind."""

PLAIN_SHARE = 0.12
"""How often it is asked how many sounds there are where there is one, and who speaks where nobody does."""

Drafts = list[tuple[str, str, list[str]]]
"""What is asked about, the right option, the wrong ones."""


class GroundedWriter:
    """Writes what a caption answers for sure; see `Writer`.

    Args:
        taxonomy: names categories.
        distractors: draws wrong options.
        per_item: questions of one item at most.
        skills: those that are asked; all when empty.
        weights: category -> how much more often than others it is asked.
        seed: decides what is drawn.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        distractors: Distractors,
        per_item: int = 5,
        skills: Sequence[str] = (),
        weights: Mapping[str, float] | None = None,
        seed: int = 1,
    ) -> None:
        self._taxonomy = taxonomy
        self._distractors = distractors
        self._per_item, self._weights, self._seed = per_item, weights or {}, seed
        self._drafters = {name: make for name, make in self._all().items() if not skills or name in skills}

    @property
    def identity(self) -> Any:
        """Version and settings."""
        weights = dict(sorted(self._weights.items()))
        return ["grounded", VERSION, self._per_item, sorted(self._drafters), weights, self._seed]

    def write(self, item: Item, caption: Caption) -> list[Question]:
        """At most `per_item` questions, each with one true option by the caption."""
        rng = np.random.default_rng(int(digest_of(self._seed, item.audio_id, caption.to_plain()), 16))
        drafted = [
            question
            for skill, make in self._drafters.items()
            for draft in make(caption, rng)
            if (question := self._question(skill, draft, caption, rng)) is not None
        ]
        chosen = self._choose(drafted, rng)
        return [Question(number, q.path, q.text, q.options, q.about) for number, q in enumerate(chosen)]

    def _question(
        self, skill: str, draft: tuple[str, str, list[str]], caption: Caption, rng: np.random.Generator
    ) -> Question | None:
        about, right, wrong = draft
        if len(wrong) < 2:
            return None
        options = [right, *wrong[:NUM_WRONG]]
        order = _in_order(options) or [int(index) for index in rng.permutation(len(options))]
        phrasings = PHRASINGS[skill]
        text = phrasings[int(rng.integers(len(phrasings)))].format(about=about)
        thing = right if skill in ("what", "first", "last", "background") else about
        path = self._taxonomy.path(caption, skill, thing if thing in all_phrases() else "")
        question = Question(0, path, text, tuple(options[index] for index in order), about)
        return question if sole_option(question, caption) is not None else None

    def _choose(self, drafted: list[Question], rng: np.random.Generator) -> list[Question]:
        """Questions drawn without replacement, weak categories and rare skills more often."""
        counts: dict[str, int] = {}
        for question in drafted:
            counts[question.path.skill] = counts.get(question.path.skill, 0) + 1
        left = list(drafted)
        chosen: list[Question] = []
        while left and len(chosen) < self._per_item:
            weights = np.array([self._weights.get(q.path.category, 1.0) / counts[q.path.skill] for q in left])
            chosen.append(left.pop(int(rng.choice(len(left), p=weights / weights.sum()))))
        return chosen

    def _all(self) -> dict[str, Callable[[Caption, np.random.Generator], Drafts]]:
        return {
            "what": self._what,
            "what-not": self._what_not,
            "first": lambda caption, rng: self._ordered(caption, rng, 0),
            "last": lambda caption, rng: self._ordered(caption, rng, -1),
            "count": self._count,
            "when": self._when,
            "how-long": self._how_long,
            "said": self._said,
            "word": self._word,
            "who": self._who,
            "order": self._order,
            "background": self._background,
        }

    def _what(self, caption: Caption, rng: np.random.Generator) -> Drafts:
        speaks_only = all(is_speech_phrase(phrase) for phrase in caption.phrases)
        asked = (
            () if speaks_only else caption.phrases
        )  # that somebody speaks is what most clips of speech say
        return [("", p, self._distractors.phrases(p, caption.phrases, rng)) for p in asked]

    def _what_not(self, caption: Caption, rng: np.random.Generator) -> Drafts:
        heard = list(caption.phrases)
        if len(heard) < 2 or not caption.is_whole:
            return []
        near = heard[int(rng.integers(len(heard)))]
        absent = self._distractors.phrases(near, heard, rng, 1)
        order = rng.permutation(len(heard))[:NUM_WRONG]
        return [("", absent[0], [heard[int(index)] for index in order])] if absent else []

    def _ordered(self, caption: Caption, rng: np.random.Generator, end: int) -> Drafts:
        """First or last sound: the others of the scene are the wrong options, filled up with near ones."""
        events = [event for event in caption.events if event.phrase != caption.background]
        if len({event.phrase for event in events}) < 2 or caption.background:
            return []
        right = sorted(events, key=lambda event: event.start_seconds)[end].phrase
        others = [phrase for phrase in caption.phrases if phrase != right][:NUM_WRONG]
        absent = self._distractors.phrases(right, caption.phrases, rng, NUM_WRONG - len(others))
        return [("", right, others + absent)]

    def _count(self, caption: Caption, rng: np.random.Generator) -> Drafts:
        count = len(caption.phrases)
        if not 1 <= count <= 5 or not caption.is_whole or (count == 1 and rng.random() > PLAIN_SHARE):
            return []
        first = int(rng.integers(max(1, count - NUM_WRONG), min(count, len(NUMBERS) - 4) + 1))
        wrong = [NUMBERS[number] for number in range(first, first + 4) if number != count]
        return [("", NUMBERS[count], wrong)]

    def _when(self, caption: Caption, rng: np.random.Generator) -> Drafts:
        drafts: Drafts = []
        for event in self._single(caption):
            is_plain = len(caption.phrases) < 2 and event.start_seconds < MIN_GAP_SECONDS
            if caption.seconds < 4 or event.phrase == caption.background or is_plain:
                continue
            others = [e.start_seconds for e in caption.events if e.phrase != event.phrase]
            times = _apart(event.start_seconds, others, caption.seconds, rng)
            drafts.append((event.phrase, _time(event.start_seconds), [_time(t) for t in times]))
        return drafts

    def _how_long(self, caption: Caption, rng: np.random.Generator) -> Drafts:
        drafts: Drafts = []
        for event in self._single(caption):
            length = event.end_seconds - event.start_seconds
            whole = length > caption.seconds - 0.3 or event.phrase == caption.background
            if length < MIN_LENGTH_SECONDS or whole:
                continue
            wrong = _other_lengths(length, caption.seconds, rng)
            drafts.append((event.phrase, _length(length), [_length(other) for other in wrong]))
        return drafts

    def _single(self, caption: Caption) -> list[Event]:
        """Events whose phrase is heard once: only they have one start and one length."""
        phrases = [event.phrase for event in caption.events]
        return [event for event in caption.events if phrases.count(event.phrase) == 1]

    def _said(self, caption: Caption, rng: np.random.Generator) -> Drafts:
        words = caption.words or ""
        if not words or len(words.split()) > MAX_SAID_WORDS:
            return []
        return [("", words, self._distractors.texts(words, rng))]

    def _word(self, caption: Caption, rng: np.random.Generator) -> Drafts:
        said = [word for word in (caption.words or "").split() if len(word) >= 4]
        if len((caption.words or "").split()) < 3 or not said:
            return []
        right = said[int(rng.integers(len(said)))]
        return [("", right, self._distractors.words(right, caption.words or "", rng))]

    def _who(self, caption: Caption, rng: np.random.Generator) -> Drafts:
        heard = [phrase for phrase in caption.phrases if is_speech_phrase(phrase)]
        if len(heard) > 1 or any(phrase not in SPEAKERS for phrase in heard) or "singing" in caption.phrases:
            return []
        if not heard and rng.random() > PLAIN_SHARE:
            return []
        right = SPEAKERS[heard[0]] if heard else NOBODY
        return [("", right, [name for name in (*SPEAKERS.values(), NOBODY) if name != right])]

    def _order(self, caption: Caption, rng: np.random.Generator) -> Drafts:
        return [
            (slot, value, self._distractors.values(slot, value, rng))
            for slot, value in sorted(caption.slots.items())
        ]

    def _background(self, caption: Caption, rng: np.random.Generator) -> Drafts:
        if not caption.background or len(caption.phrases) < 2:
            return []
        lasting = [phrase for phrase in all_phrases() if is_continuous_phrase(phrase)]
        wrong = self._distractors.phrases(caption.background, caption.phrases, rng, NUM_WRONG, lasting)
        return [("", caption.background, wrong)]


def _in_order(options: list[str]) -> list[int] | None:
    """The order of numbers and times, which are given as they grow; None for other options."""
    values = [NUMBERS.index(o) if o in NUMBERS else seconds_in(o) for o in options]
    if any(value is None for value in values) or not all("second" in o or o in NUMBERS for o in options):
        return None
    return sorted(range(len(options)), key=lambda index: values[index] or 0)


def _apart(right: float, others: Sequence[float], seconds: float, rng: np.random.Generator) -> list[float]:
    """Up to three wrong times: starts of other sounds first, then any that lie apart.

    How many of them lie before the right one is drawn first, so that no place among the options is right
    more often than it must be.
    """
    drawn = [float(t) for t in rng.uniform(0, seconds - 0.3, size=32)]
    before = int(rng.integers(NUM_WRONG + 1))
    room = {True: before, False: NUM_WRONG - before}
    times: list[float] = []
    for time in [*others, *drawn]:
        is_before = time < right
        if room[is_before] and all(abs(time - other) >= MIN_GAP_SECONDS for other in (right, *times)):
            times.append(time)
            room[is_before] -= 1
    return times


def _other_lengths(right: float, seconds: float, rng: np.random.Generator) -> list[float]:
    """Wrong lengths that the recording has room for, each twice the next; how many are shorter is drawn."""
    shorter = int(rng.integers(NUM_WRONG + 1))
    powers = [power for power in range(-shorter, NUM_WRONG + 1 - shorter) if power]
    return [right * 2.0**power for power in powers if 0.2 <= right * 2.0**power <= seconds]


def _time(seconds: float) -> str:
    return f"at {seconds:.1f} seconds"


def _length(seconds: float) -> str:
    return f"about {seconds:.1f} seconds"
