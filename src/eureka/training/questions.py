"""Questions with answers that follow from what is known about a clip or scene; lower case throughout.

Each kind of question has several phrasings. A question is offered only where its answer is certain:
who speaks only where the speaker's kind is known, what is said only with a transcript, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eureka.training.events import Event
from eureka.training.sound_labels import (
    all_phrases,
    is_music_phrase,
    is_speech_phrase,
    join_phrases,
    phrase_classes,
)

ORDER_QUESTION = "what is ordered"
"""The question that evaluation asks about orders."""

NO_WORDS_ANSWER = "nothing"
NOBODY_ANSWER = "nobody"

PHRASINGS: dict[str, tuple[str, ...]] = {
    "sounds": (
        "what sound is this",
        "what do you hear",
        "what can be heard",
        "which sounds are there",
        "what is happening here",
        "name the sounds",
    ),
    "present": (
        "is there {phrase}",
        "do you hear {phrase}",
        "can you hear {phrase}",
        "is {phrase} in this recording",
        "does it contain {phrase}",
    ),
    "count": (
        "how many different sounds are there",
        "how many sounds do you hear",
        "count the different sounds",
    ),
    "first": ("which sound comes first", "what do you hear first", "what is the first sound"),
    "last": ("which sound comes last", "what starts last", "what is the last sound"),
    "speaker": ("who is speaking", "who speaks", "who is talking", "is it a man or a woman or a child"),
    "speaking": ("is anyone speaking", "does anybody speak", "is someone talking", "is there speech"),
    "music": ("is there music", "do you hear music", "is any music playing"),
    "words": ("what is said", "what do they say", "what are the words", "repeat what was said"),
    "order": (
        ORDER_QUESTION,
        "what do they order",
        "what would they like to drink",
        "which order was spoken",
    ),
}
"""Kind of question -> its phrasings."""

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
_SPEAKERS = {"man speaking": "a man", "woman speaking": "a woman", "child speaking": "a child"}
_CLEARLY_APART_SECONDS = 0.4
_YES_SHARE = 0.5
_SLOT_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class QuestionAnswer:
    """A question about audio with its true answer; `kind` is a key of PHRASINGS."""

    kind: str
    question: str
    answer: str


def draw_question(
    rng: np.random.Generator,
    events: Sequence[Event] | None,
    words: str | None = None,
    slots: Mapping[str, str] | None = None,
) -> QuestionAnswer | None:
    """A drawn question that what is known answers, None when it answers none.

    Args:
        rng: decides kind and phrasing.
        events: what is heard when; None where unknown.
        words: what is said; empty where nobody speaks, None where unknown.
        slots: slots of an order, with the manifest's names.
    """
    found = answerable_questions(rng, events, words, slots)
    return found[int(rng.integers(len(found)))] if found else None


def answerable_questions(
    rng: np.random.Generator,
    events: Sequence[Event] | None,
    words: str | None = None,
    slots: Mapping[str, str] | None = None,
) -> list[QuestionAnswer]:
    """One drawn phrasing of every kind of question that what is known answers; see `draw_question`."""
    answers: dict[str, str] = {}
    if slots:
        answers["order"] = order_answer(slots)
    if words is not None:
        answers["words"] = words or NO_WORDS_ANSWER
    if events is not None:
        answers |= _event_answers(events)
    found = [QuestionAnswer(kind, _phrasing(kind, rng), answer) for kind, answer in answers.items()]
    if events:
        found.append(_presence_question(rng, events))
    return found


def order_answer(slots: Mapping[str, str]) -> str:
    """`coffee drink: iced mocha; size: small`: slots by name, camel case split, in alphabetical order."""
    named = {slot_words(name): value for name, value in slots.items()}
    return "; ".join(f"{name}: {named[name]}" for name in sorted(named))


def parse_order_answer(answer: str) -> dict[str, str]:
    """Slot words -> value of an answer; pieces that are no `name: value` are passed over."""
    slots: dict[str, str] = {}
    for piece in answer.lower().split(";"):
        name, colon, value = (part.strip() for part in piece.partition(":"))
        if colon and name and value:
            slots.setdefault(" ".join(name.split()), " ".join(value.split()))
    return slots


def slot_words(name: str) -> str:
    """A slot name of the manifest as words: `numberOfShots` -> `number of shots`."""
    return _SLOT_BOUNDARY.sub(" ", name).lower()


def _event_answers(events: Sequence[Event]) -> dict[str, str]:
    phrases = list(dict.fromkeys(event.phrase for event in events))
    answers = {"sounds": join_phrases(phrases)}
    if len(phrases) < len(_NUMBERS):
        answers["count"] = _NUMBERS[len(phrases)]
    answers |= _order_in_time(events)
    speakers = [phrase for phrase in phrases if is_speech_phrase(phrase)]
    if speakers or not any("singing" in phrase_classes(phrase) for phrase in phrases):
        answers["speaking"] = "yes" if speakers else "no"
    if not speakers:
        answers["speaker"] = NOBODY_ANSWER
    elif all(phrase in _SPEAKERS for phrase in speakers):
        answers["speaker"] = " and ".join(_SPEAKERS[phrase] for phrase in speakers)
    answers["music"] = "yes" if any(is_music_phrase(phrase) for phrase in phrases) else "no"
    return answers


def _order_in_time(events: Sequence[Event]) -> dict[str, str]:
    """First and last sound, where their starts are clearly apart from the others'."""
    ordered = sorted(events, key=lambda event: event.start_seconds)
    answers = {}
    if len({event.phrase for event in ordered}) > 1:
        if ordered[1].start_seconds - ordered[0].start_seconds >= _CLEARLY_APART_SECONDS:
            answers["first"] = ordered[0].phrase
        if ordered[-1].start_seconds - ordered[-2].start_seconds >= _CLEARLY_APART_SECONDS:
            answers["last"] = ordered[-1].phrase
    return answers


def _presence_question(rng: np.random.Generator, events: Sequence[Event]) -> QuestionAnswer:
    """Is there a sound: yes about one that is there, or no about one of quite other classes."""
    phrases = sorted({event.phrase for event in events})
    heard = set().union(*(phrase_classes(phrase) for phrase in phrases)) - {"music"}
    absent = [phrase for phrase in all_phrases() if not heard & set(phrase_classes(phrase))]
    is_present = rng.random() < _YES_SHARE
    choices = phrases if is_present else absent
    phrase = choices[int(rng.integers(len(choices)))]
    question = _phrasing("present", rng).format(phrase=phrase)
    return QuestionAnswer("present", question, "yes" if is_present else "no")


def _phrasing(kind: str, rng: np.random.Generator) -> str:
    phrasings = PHRASINGS[kind]
    return phrasings[int(rng.integers(len(phrasings)))]
