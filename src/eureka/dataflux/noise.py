"""Faults on purpose, to try a judge with: captions and answers that are wrong in a known share of cases.

Everything is drawn from the seed and the content, so that the same faults come every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eureka.dataflux.describe import describe, with_text
from eureka.dataflux.items import Item
from eureka.dataflux.records import Answer, Caption, Question, digest_of
from eureka.dataflux.solve import NOBODY, NUMBERS, SPEAKERS, seconds_in, sole_option
from eureka.dataflux.taxonomy import load_taxonomy
from eureka.training.events import Event
from eureka.training.sound_labels import is_speech_phrase

SHIFT_SECONDS = 1.5
"""How far a fault moves an event at least: less is right within the tolerance."""


class FaultyCaptioner:
    """The item's own record, wrong in one thing in a share of the items.

    Args:
        share: of items, 0 to 1.
        seed: decides which, and how.
    """

    def __init__(self, share: float, seed: int = 1) -> None:
        self._share, self._seed = share, seed

    @property
    def identity(self) -> Any:
        """Share and seed."""
        return ["faulty", self._share, self._seed]

    def caption(self, item: Item) -> Caption:
        """The record, or what a fault made of it."""
        rng = _drawn(self._seed, "caption", item.audio_id)
        if rng.random() >= self._share:
            return item.record
        return with_text(_one_fault(item.record, rng))


@dataclass(frozen=True, slots=True)
class RecordAnswerer:
    """Reads the true record, and errs.

    Attributes:
        name: tells two of them apart.
        errs: share of questions in which it hears the wrong thing, and says so in its trace.
        corrupted: share of its answers that are replaced: half with the trace that led elsewhere, half with
            a trace that fits the wrong answer.
        seed: decides which.
    """

    name: str
    errs: float
    corrupted: float
    seed: int = 1

    @property
    def identity(self) -> Any:
        """All fields."""
        return ["record", self.name, self.errs, self.corrupted, self.seed]

    def answer(self, item: Item, questions: Sequence[Question]) -> list[Answer]:
        """An answer a question, with a trace that says what was heard and what follows."""
        return [self._answer(item, question) for question in questions]

    def _answer(self, item: Item, question: Question) -> Answer:
        rng = _drawn(self.seed, self.name, item.audio_id, question.to_plain())
        option = sole_option(question, item.record)
        if option is None:  # the record fits no option: somebody who hears well can only guess
            option = int(rng.integers(len(question.options)))
            return _told(item.record, question, option)
        fate = rng.random()
        if fate < self.errs:
            return self._erring(item, question, option, rng)
        answer = _told(item.record, question, option)
        if rng.random() >= self.corrupted:
            return answer
        if rng.random() < 0.5:
            return replace(answer, option=_other(option, question, rng))
        return self._erring(item, question, option, rng)

    def _erring(self, item: Item, question: Question, right: int, rng: np.random.Generator) -> Answer:
        wrong = _other(right, question, rng)
        heard = misheard(item.record, question, question.options[right], question.options[wrong])
        return _told(heard, question, wrong)


def misheard(record: Caption, question: Question, right: str, wrong: str) -> Caption:
    """The record as somebody heard it to whom `wrong` is the answer instead of `right`."""
    change = _MISHEARINGS.get(question.path.skill)
    return record if change is None else change(record, question, right, wrong)


def _told(heard: Caption, question: Question, option: int) -> Answer:
    said = question.options[option]
    return Answer(option, f"{describe(heard)} So the answer is {said}.", said)


def _other(option: int, question: Question, rng: np.random.Generator) -> int:
    others = [index for index in range(len(question.options)) if index != option]
    return others[int(rng.integers(len(others)))]


def _drawn(*parts: Any) -> np.random.Generator:
    return np.random.default_rng(int(digest_of(*parts), 16))


# -- faults of captions ----------------------------------------------------------------------------


def _one_fault(record: Caption, rng: np.random.Generator) -> Caption:
    faults = [fault for fault, fits in _FAULTS if fits(record)]
    return faults[int(rng.integers(len(faults)))](record, rng)


def _rename(record: Caption, rng: np.random.Generator) -> Caption:
    """One sound is taken for another."""
    old = record.phrases[int(rng.integers(len(record.phrases)))]
    absent = load_taxonomy().absent(record.phrases)
    return _renamed(record, {old: absent[int(rng.integers(len(absent)))]})


def _swap(record: Caption, rng: np.random.Generator) -> Caption:
    """Two sounds change places."""
    one, other = (record.phrases[int(i)] for i in rng.permutation(len(record.phrases))[:2])
    return _renamed(record, {one: other, other: one})


def _drop(record: Caption, rng: np.random.Generator) -> Caption:
    """One sound is not heard."""
    gone = record.phrases[int(rng.integers(len(record.phrases)))]
    events = tuple(event for event in record.events if event.phrase != gone)
    return replace(record, events=events, background="" if record.background == gone else record.background)


def _move(record: Caption, rng: np.random.Generator) -> Caption:
    """One sound is heard at another time."""
    place = int(rng.integers(len(record.events)))
    events = list(record.events)
    start = events[place].start_seconds
    length = events[place].end_seconds - start
    starts = [s for s in np.arange(0.0, record.seconds - 0.3, 0.1) if abs(s - start) >= SHIFT_SECONDS]
    moved = float(starts[int(rng.integers(len(starts)))])
    events[place] = Event(events[place].phrase, moved, min(moved + length, record.seconds))
    return replace(record, events=_sorted(events))


def _missay(record: Caption, rng: np.random.Generator) -> Caption:
    """One word is heard as another."""
    words = (record.words or "").split()
    place = int(rng.integers(len(words)))
    words[place] = "nothing" if words[place] != "nothing" else "anything"
    return replace(record, words=" ".join(words))


_FAULTS: list[tuple[Callable[[Caption, np.random.Generator], Caption], Callable[[Caption], bool]]] = [
    (_rename, lambda record: bool(record.events)),
    (_swap, lambda record: len(record.phrases) > 1),
    (_drop, lambda record: len(record.phrases) > 1),
    (_move, lambda record: bool(record.events) and record.seconds > 2 * SHIFT_SECONDS + 0.5),
    (_missay, lambda record: bool(record.words)),
]


# -- faults of hearing -----------------------------------------------------------------------------


def _renamed(record: Caption, names: dict[str, str]) -> Caption:
    events = [
        Event(names.get(event.phrase, event.phrase), event.start_seconds, event.end_seconds)
        for event in record.events
    ]
    return replace(record, events=_sorted(events), background=names.get(record.background, record.background))


def _sorted(events: Sequence[Event]) -> tuple[Event, ...]:
    return tuple(sorted(events, key=lambda event: (event.start_seconds, event.end_seconds, event.phrase)))


def _taken_for(record: Caption, question: Question, right: str, wrong: str) -> Caption:
    return _renamed(record, {right: wrong, wrong: right})


def _not_heard(record: Caption, question: Question, right: str, wrong: str) -> Caption:
    """What is missing is heard where something else was."""
    return _renamed(record, {wrong: right})


def _counted(record: Caption, question: Question, right: str, wrong: str) -> Caption:
    count = NUMBERS.index(wrong)
    kept = set(record.phrases[:count])
    events = [event for event in record.events if event.phrase in kept]
    for phrase in load_taxonomy().absent(record.phrases)[: count - len(kept)]:
        events.append(Event(phrase, 0.0, min(1.0, record.seconds)))
    return replace(record, events=_sorted(events))


def _at_another_time(record: Caption, question: Question, right: str, wrong: str) -> Caption:
    start = seconds_in(wrong) or 0.0
    return _changed(record, question.about, start, None)


def _of_another_length(record: Caption, question: Question, right: str, wrong: str) -> Caption:
    return _changed(record, question.about, None, seconds_in(wrong))


def _changed(record: Caption, phrase: str, start: float | None, length: float | None) -> Caption:
    events = []
    for event in record.events:
        if event.phrase == phrase:
            first = event.start_seconds if start is None else start
            lasting = event.end_seconds - event.start_seconds if length is None else length
            event = Event(phrase, first, first + lasting)
        events.append(event)
    return replace(record, events=_sorted(events))


def _other_words(record: Caption, question: Question, right: str, wrong: str) -> Caption:
    return replace(record, words=(record.words or "").replace(right, wrong))


def _other_speaker(record: Caption, question: Question, right: str, wrong: str) -> Caption:
    phrases = {name: phrase for phrase, name in SPEAKERS.items()}
    if wrong == NOBODY:
        events = tuple(event for event in record.events if not is_speech_phrase(event.phrase))
        return replace(record, events=events, words="")
    if right == NOBODY:
        return replace(record, events=_sorted([*record.events, Event(phrases[wrong], 0.0, 1.0)]))
    return _renamed(record, {phrases[right]: phrases[wrong]})


def _other_order(record: Caption, question: Question, right: str, wrong: str) -> Caption:
    return replace(record, slots={**record.slots, question.about: wrong})


_MISHEARINGS: dict[str, Callable[[Caption, Question, str, str], Caption]] = {
    "what": _taken_for,
    "first": _taken_for,
    "last": _taken_for,
    "background": _taken_for,
    "what-not": _not_heard,
    "count": _counted,
    "when": _at_another_time,
    "how-long": _of_another_length,
    "said": _other_words,
    "word": _other_words,
    "who": _other_speaker,
    "order": _other_order,
}
