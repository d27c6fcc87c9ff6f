"""What is taken out of accepted questions: leaks, doubles, what is answered blind, what is too much."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from eureka.dataflux import checks
from eureka.dataflux.checks import Candidate
from eureka.dataflux.leaks import evaluated_clips, evaluated_questions
from eureka.dataflux.records import (
    Action,
    Answer,
    CategoryPath,
    Consistency,
    Question,
    Verdict,
    Winner,
)
from eureka.dataflux.weakness import read_weakness, weakness_of
from eureka.errors import InvalidInputError
from tests.helpers.flux_pack import write_flux_pack

KEPT = Verdict(True, Consistency.STRONG_MATCH, Winner.TIE, Action.KEEP, "")
OPTIONS = ("rain", "wind", "boat", "train")


def candidate(number: int, option: int = 0, blind: int | None = None, skill: str = "what") -> Candidate:
    path = CategoryPath("sound", "g", "rain", skill)
    heard = None if blind is None else Answer(blind, confidence=0.5 + number / 10_000)
    question = Question(0, path, "What is heard?", OPTIONS)
    return Candidate(number, f"audio {number}", (f"{number}.wav",), question, option, KEPT, heard, 1)


def test_right_option_stands_at_every_place_equally_often() -> None:
    found = checks.balanced([candidate(number) for number in range(100)])
    assert Counter(c.option for c in found) == {0: 25, 1: 25, 2: 25, 3: 25}
    assert all(c.answer == "rain" and sorted(c.question.options) == sorted(OPTIONS) for c in found)
    assert checks.balanced(found[::-1])[0].option is not None


def test_numbers_and_times_stay_in_their_order() -> None:
    given = [candidate(number, skill="count") for number in range(8)]
    assert checks.balanced(given) == given


def test_what_is_answered_without_listening_goes_until_chance_is_left() -> None:
    given = [candidate(n, n % 4, blind=n % 4 if n < 60 else (n + 1) % 4) for n in range(100)]
    sifted = checks.without_blind(given)
    hits = sum(c.blind is not None and c.blind.option == c.option for c in sifted.kept)
    assert hits <= len(sifted.kept) / 4
    dropped = {c.item for c in sifted.dropped}
    assert 59 in dropped  # the surest of those that were right
    assert sum(item >= 60 for item in dropped) <= 5  # by habits of the set alone


def test_habit_of_the_set_is_broken() -> None:
    given = [
        candidate(number, 0 if number % 10 else 1) for number in range(200)
    ]  # rain is nearly always right
    sifted = checks.without_blind(given)
    assert sum(c.answer == "rain" for c in sifted.kept) <= len(sifted.kept) / 2


def test_set_at_chance_is_left_alone() -> None:
    given = [candidate(n, n % 4, blind=(n // 4) % 4) for n in range(160)]
    assert not checks.without_blind(given).dropped


def test_same_question_about_the_same_clips_is_asked_once() -> None:
    one = candidate(1)
    again = replace(one, item=2, audio_id="other", question=replace(one.question, text="What is heard here?"))
    elsewhere = replace(again, parts=("9.wav",))
    sifted = checks.without_near_duplicates([one, again, elsewhere], 80.0)
    assert sifted.kept == [one, elsewhere] and sifted.dropped == [again]


def test_category_that_has_enough_takes_no_more() -> None:
    rows = [candidate(n, skill="what" if n % 3 else "first") for n in range(90)]
    sifted = checks.within_quotas(rows, 60, 0.4)
    assert Counter(c.question.path.skill for c in sifted.kept) == {"what": 24, "first": 24}
    assert len(checks.within_quotas(rows, 0, 1.0).kept) == 90


def test_clip_and_question_of_an_evaluation_do_not_come_in(tmp_path: Path) -> None:
    pack = write_flux_pack(tmp_path / "pack")
    dev = next(pack.glob("esc10/13.wav"))
    (pack / "esc10" / "copy.wav").write_bytes(dev.read_bytes())
    questions = tmp_path / "suite.jsonl"
    questions.write_text('{"question": "what is HEARD", "choices": ["boat", "Rain", "train", "wind"]}\n')
    is_evaluated = evaluated_clips(pack, [str(questions)])
    known = evaluated_questions([str(questions)])
    copied = replace(candidate(1), parts=("esc10/copy.wav",))
    other = replace(candidate(2), parts=("esc10/0.wav",))
    assert checks.without_leaks([copied, other], is_evaluated, ()).kept == [other]
    assert checks.without_leaks([other], is_evaluated, known).dropped == [other]
    assert evaluated_clips(tmp_path / "pack", [str(pack)])("esc10/0.wav")


def test_leaks_that_are_no_questions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": 1}\n')
    with pytest.raises(InvalidInputError) as caught:
        evaluated_questions([str(tmp_path / "a.jsonl")])
    assert caught.value.reason == "INVALID_LEAKS"


def test_weak_categories_and_confused_phrases_weigh_more(tmp_path: Path) -> None:
    found = weakness_of(
        {
            "categories": {"a": 1.0, "b": 0.5},
            "confusion": {"rain": {"rain": 1, "wind": 3}, "boat": {"boat": 4}},
        },
        2.0,
    )
    assert found.categories == {"a": 1.0, "b": 2.25}
    assert found.phrases["rain"] > 3 > found.phrases["boat"] == 1.0
    assert found.confusion["rain"] == {"wind": 7.5}
    (tmp_path / "c.json").write_text('{"categories": {"a": 3}}')
    with pytest.raises(InvalidInputError) as caught:
        read_weakness(str(tmp_path / "c.json"), 1.0)
    assert caught.value.reason == "INVALID_CONFUSION"
