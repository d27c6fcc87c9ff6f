"""The roles of `gateway`: this platform's own model captions and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eureka.dataflux.describe import with_text
from eureka.dataflux.ears import Ear
from eureka.dataflux.items import Item
from eureka.dataflux.matching import match_option
from eureka.dataflux.records import LETTERS, Answer, Caption, Question
from eureka.dataflux.solve import sole_option
from eureka.training.events import Event, merge_events
from eureka.training.real_pack import plain_words
from eureka.training.sound_labels import all_phrases, is_speech_phrase

VERSION = 1
"""Raised when what is asked of the model changes."""

_BY_CAPTION = frozenset({"what-not", "count", "when", "how-long"})
"""Skills that a timed caption decides."""


class GatewayCaptioner:
    """Captions by the model's own timed caption, and its transcript where somebody speaks."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear

    @property
    def identity(self) -> Any:
        """Model and version."""
        return ["gateway", VERSION, self._ear.identity]

    def caption(self, item: Item) -> Caption:
        """Phrases that the taxonomy does not know are left out: nothing could be asked about them."""
        heard = _own_caption(self._ear, item)
        speaks = any(is_speech_phrase(phrase) for phrase in heard.phrases)
        words = plain_words(self._ear.transcript(item)) if speaks else ""
        return with_text(replace(heard, words=words))


class ScoringAnswerer:
    """Answers by the closed-set score of the options.

    Args:
        ear: the model.
        shows_options: the question lists them, too.
        hears: False answers without the audio, for the blind check.
    """

    def __init__(self, ear: Ear, shows_options: bool = False, hears: bool = True) -> None:
        self._ear, self._shows_options, self._hears = ear, shows_options, hears

    @property
    def identity(self) -> Any:
        """Model and way of asking."""
        return ["gateway-score", VERSION, self._shows_options, self._hears, self._ear.identity]

    def answer(self, item: Item, questions: Sequence[Question]) -> list[Answer]:
        """The most probable option of each question; its trace are the probabilities."""
        return [self._answer(item, question) for question in questions]

    def _answer(self, item: Item, question: Question) -> Answer:
        asked = question_text(question, self._shows_options)
        scores = self._ear.choose(item if self._hears else None, asked, question.options)
        best = max(range(len(scores)), key=lambda index: scores[index])
        rated = zip(LETTERS, scores, strict=False)
        trace = "Probabilities: " + ", ".join(f"{letter} {score:.2f}" for letter, score in rated) + "."
        return Answer(best, trace, question.options[best], scores[best])


class SpeakingAnswerer:
    """Answers in its own words, which are matched to the options; arguments as of `ScoringAnswerer`.

    Where its own timed caption of the item decides about times, lengths, numbers or what is missing, it goes
    by that: a small model hears these, but was never taught to say them.
    """

    def __init__(self, ear: Ear, shows_options: bool = False) -> None:
        self._ear, self._shows_options = ear, shows_options

    @property
    def identity(self) -> Any:
        """Model and way of asking."""
        return ["gateway-text", VERSION, self._shows_options, self._ear.identity]

    def answer(self, item: Item, questions: Sequence[Question]) -> list[Answer]:
        """What is said to each question, and the option that it names."""
        reasons = any(question.path.skill in _BY_CAPTION for question in questions)
        heard = _own_caption(self._ear, item) if reasons else None
        return [self._answer(item, question, heard) for question in questions]

    def _answer(self, item: Item, question: Question, heard: Caption | None) -> Answer:
        option = sole_option(question, heard) if heard and question.path.skill in _BY_CAPTION else None
        if heard is not None and option is not None:
            noted = "; ".join(f"{e.phrase} {e.start_seconds:.1f}-{e.end_seconds:.1f}" for e in heard.events)
            said = question.options[option]
            return Answer(option, f"It noted: {noted}. So the answer is {said}.", said)
        said = self._ear.ask(item, question_text(question, self._shows_options))
        return Answer(match_option(said, question.options), f'It said: "{said}".', said)


def _own_caption(ear: Ear, item: Item) -> Caption:
    known = set(all_phrases())
    found = [
        Event(segment.text.strip(), segment.start_seconds, segment.end_seconds)
        for segment in ear.describe(item)
        if segment.text.strip() in known
    ]
    return Caption("", item.seconds, merge_events(found), is_whole=False)


def question_text(question: Question, shows_options: bool) -> str:
    """The question as it is put to the model: with its options, or in plain lower case as the nano learnt."""
    if shows_options:
        return question.block
    return question.text.lower().rstrip("?. ")
