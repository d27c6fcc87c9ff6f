"""Which options of a question are true by a caption; read apart from the writer.

Every option is judged by itself. A question with no true option, or with two, is no question.
"""

from __future__ import annotations

from collections.abc import Callable

from eureka.dataflux.records import Caption, Question
from eureka.training.events import Event
from eureka.training.real_pack import plain_words

CLEARLY_APART_SECONDS = 0.4
"""Starts that lie closer have no order."""

TIME_TOLERANCE_SECONDS = 0.45
"""A start said so far off is still right."""

LENGTH_RATIO = 1.4
"""A length said so many times too long or too short is still right."""

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")

SPEAKERS = {"man speaking": "a man", "woman speaking": "a woman", "child speaking": "a child"}
NOBODY = "nobody"

_Check = Callable[[Caption, Question, str], bool]


def true_options(question: Question, caption: Caption) -> list[int] | None:
    """Indices of the options that hold; None where the caption says nothing about what is asked."""
    check = _CHECKS.get(question.path.skill)
    if check is None or not _knows(question, caption):
        return None
    return [index for index, option in enumerate(question.options) if check(caption, question, option)]


def sole_option(question: Question, caption: Caption) -> int | None:
    """The option that alone holds; None where none or several do."""
    found = true_options(question, caption)
    return found[0] if found is not None and len(found) == 1 else None


def seconds_in(text: str) -> float | None:
    """The first number of a text: "at 2.4 seconds" -> 2.4."""
    for piece in text.split():
        try:
            return float(piece)
        except ValueError:
            continue
    return None


def _knows(question: Question, caption: Caption) -> bool:
    skill = question.path.skill
    if skill in ("said", "word"):
        return bool(caption.words)
    if skill == "order":
        return question.about in caption.slots
    if skill in ("when", "how-long"):
        return len(_events(caption, question.about)) == 1
    return bool(caption.events) or skill == "who"


def _events(caption: Caption, phrase: str) -> list[Event]:
    return [event for event in caption.events if event.phrase == phrase]


def _is_heard(caption: Caption, question: Question, option: str) -> bool:
    return option in caption.phrases


def _is_not_heard(caption: Caption, question: Question, option: str) -> bool:
    return option not in caption.phrases


def _starts_first(caption: Caption, question: Question, option: str) -> bool:
    starts = [event.start_seconds for event in _events(caption, option)]
    others = [event.start_seconds for event in caption.events if event.phrase != option]
    return bool(starts and others) and min(starts) <= min(others) - CLEARLY_APART_SECONDS


def _starts_last(caption: Caption, question: Question, option: str) -> bool:
    starts = [event.start_seconds for event in _events(caption, option)]
    others = [event.start_seconds for event in caption.events if event.phrase != option]
    return bool(starts and others) and max(starts) >= max(others) + CLEARLY_APART_SECONDS


def _is_count(caption: Caption, question: Question, option: str) -> bool:
    count = len(caption.phrases)
    return count < len(NUMBERS) and option == NUMBERS[count]


def _is_start(caption: Caption, question: Question, option: str) -> bool:
    said = seconds_in(option)
    start = _events(caption, question.about)[0].start_seconds
    return said is not None and abs(said - start) <= TIME_TOLERANCE_SECONDS


def _is_length(caption: Caption, question: Question, option: str) -> bool:
    said, event = seconds_in(option), _events(caption, question.about)[0]
    length = event.end_seconds - event.start_seconds
    return bool(said) and said is not None and 1 / LENGTH_RATIO <= said / length <= LENGTH_RATIO


def _is_said(caption: Caption, question: Question, option: str) -> bool:
    return plain_words(option) == caption.words


def _holds_word(caption: Caption, question: Question, option: str) -> bool:
    return plain_words(option) in (caption.words or "").split()


def _is_speaker(caption: Caption, question: Question, option: str) -> bool:
    heard = {SPEAKERS.get(phrase, "") for phrase in caption.phrases if phrase.endswith(" speaking")}
    return option in heard if heard else option == NOBODY


def _is_ordered(caption: Caption, question: Question, option: str) -> bool:
    return caption.slots.get(question.about) == option


def _lies_under(caption: Caption, question: Question, option: str) -> bool:
    return option == caption.background


_CHECKS: dict[str, _Check] = {
    "what": _is_heard,
    "what-not": _is_not_heard,
    "first": _starts_first,
    "last": _starts_last,
    "count": _is_count,
    "when": _is_start,
    "how-long": _is_length,
    "said": _is_said,
    "word": _holds_word,
    "who": _is_speaker,
    "order": _is_ordered,
    "background": _lies_under,
}
