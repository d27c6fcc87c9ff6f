from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from eureka.training.events import Event
from eureka.training.questions import (
    PHRASINGS,
    answerable_questions,
    draw_question,
    order_answer,
    parse_order_answer,
)

DOG = Event("dog bark", 0.4, 1.2)
MAN = Event("man speaking", 2.0, 4.6)
SLOTS = {"numberOfShots": "single shot", "coffeeDrink": "iced mocha", "milkAmount": "soy milk"}


def _answers(seed: int = 0, **known: object) -> dict[str, str]:
    known.setdefault("events", None)
    found = answerable_questions(np.random.default_rng(seed), **known)  # type: ignore[arg-type]
    return {item.kind: item.answer for item in found}


def test_questions_about_a_scene_answer_what_is_known() -> None:
    answers = _answers(events=[DOG, MAN], words="hello there")
    answers.pop("present")
    assert answers == {
        "words": "hello there",
        "sounds": "dog bark, man speaking",
        "count": "two",
        "first": "dog bark",
        "last": "man speaking",
        "speaking": "yes",
        "speaker": "a man",
        "music": "no",
    }


def test_questions_about_a_sound_know_that_nobody_speaks() -> None:
    answers = _answers(events=[DOG], words="")
    assert answers["speaker"] == "nobody" and answers["speaking"] == "no" and answers["words"] == "nothing"
    assert "first" not in answers


def test_questions_leave_out_what_is_unknown() -> None:
    assert _answers() == {}
    answers = _answers(events=[Event("person speaking", 0.0, 1.0)])
    assert "speaker" not in answers and "words" not in answers
    assert "speaking" not in _answers(events=[Event("singing", 0.0, 3.0)])


def test_questions_about_silence_say_so() -> None:
    answers = _answers(events=[], words="")
    assert answers["sounds"] == "silence" and answers["count"] == "zero" and answers["music"] == "no"


def test_questions_ask_for_order_in_time_only_when_starts_are_apart() -> None:
    answers = _answers(events=[DOG, Event("rain", 0.6, 5.0), MAN])
    assert "first" not in answers and answers["last"] == "man speaking"


def test_questions_whether_a_sound_is_there_are_balanced_and_true() -> None:
    counts: Counter[str] = Counter()
    for seed in range(400):
        found = answerable_questions(np.random.default_rng(seed), [Event("snare drum", 0, 1), MAN])
        item = next(item for item in found if item.kind == "present")
        counts[item.answer] += 1
        is_there = "snare drum" in item.question or "man speaking" in item.question
        assert is_there == (item.answer == "yes")
        # Other drums would be a trap, another speaker cannot be ruled out.
        assert is_there or not ("drum" in item.question or "speaking" in item.question)
    assert 160 < counts["yes"] < 240


def test_questions_are_lower_case_and_without_a_mark() -> None:
    for phrasing in (phrasing for group in PHRASINGS.values() for phrasing in group):
        assert phrasing == phrasing.lower() and "?" not in phrasing


def test_draw_question_is_decided_by_the_seed() -> None:
    drawn = [draw_question(np.random.default_rng(3), [DOG, MAN], "hello", SLOTS) for _ in range(2)]
    assert drawn[0] == drawn[1] is not None
    assert draw_question(np.random.default_rng(0), None) is None


def test_order_answer_splits_names_and_sorts_them() -> None:
    assert (
        order_answer(SLOTS) == "coffee drink: iced mocha; milk amount: soy milk; number of shots: single shot"
    )


def test_order_answer_parsed_gives_the_slots_back() -> None:
    assert parse_order_answer(order_answer(SLOTS)) == {
        "coffee drink": "iced mocha",
        "milk amount": "soy milk",
        "number of shots": "single shot",
    }


@pytest.mark.parametrize(
    ("answer", "slots"),
    [
        ("", {}),
        ("a latte please", {}),
        ("Size:  Small ;; roast:; : dark", {"size": "small"}),
        ("size: small; size: large", {"size": "small"}),
    ],
)
def test_parse_order_answer_passes_over_what_is_no_slot(answer: str, slots: dict[str, str]) -> None:
    assert parse_order_answer(answer) == slots
