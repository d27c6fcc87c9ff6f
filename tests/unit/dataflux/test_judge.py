"""The grounded judge: what it keeps, what it discards and why, and how far it is to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eureka.dataflux.describe import describe, with_text
from eureka.dataflux.items import Item
from eureka.dataflux.judge import GroundedJudge
from eureka.dataflux.noise import FaultyCaptioner, RecordAnswerer
from eureka.dataflux.recipe import FluxRecipe, SceneConfig
from eureka.dataflux.records import Answer, Answered, Caption, CategoryPath, Question, Verdict, Winner
from eureka.dataflux.sources import FolderSource
from eureka.dataflux.truth import Faults, judged_with_faults, tally
from eureka.training.events import Event
from tests.helpers.flux_pack import write_flux_pack

CAPTION = with_text(Caption("", 6.0, (Event("rain", 0.5, 2.0), Event("piano", 3.0, 5.0)), ""))
PATH = CategoryPath("mixed", "scenes", "rain", "first")
FIRST = Question(0, PATH, "What is first?", ("rain", "piano", "train"))


def judged(
    *answers: tuple[Answer, Answer], caption: Caption = CAPTION, question: Question = FIRST
) -> list[Verdict]:
    item = Item(0, "scene", "x", caption, (), (), lambda: np.zeros(8, np.float32))
    return GroundedJudge().judge(item, caption, [Answered(question, *pair) for pair in answers])


def told(caption: Caption, option: int) -> Answer:
    return Answer(option, f"{describe(caption)} So the answer is {FIRST.options[option]}.")


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [(0, 0, Winner.TIE), (0, 1, Winner.MODEL_A), (2, 0, Winner.MODEL_B), (1, 1, None), (None, None, None)],
)
def test_winner_is_who_fits_the_caption(first: int | None, second: int | None, winner: Winner | None) -> None:
    verdict = judged((Answer(first), Answer(second)))[0]
    assert verdict.is_kept == (winner is not None)
    assert verdict.winner is (winner or Winner.NONE)
    assert verdict.consensus == (first is not None and first == second)


def test_answer_that_its_own_trace_contradicts_does_not_win() -> None:
    other = replace(CAPTION, events=(Event("piano", 0.5, 2.0), Event("rain", 3.0, 5.0)))
    lucky = replace(told(other, 1), option=0)
    verdict = judged((lucky, Answer(1)))[0]
    assert not verdict.is_kept and verdict.reason == "BOTH_FAIL"
    assert judged((lucky, lucky))[0].reason == "TRACES_CONTRADICT"


def test_caption_that_most_traces_contradict_is_not_believed() -> None:
    true = replace(CAPTION, events=(Event("piano", 0.5, 2.0), Event("rain", 3.0, 5.0)))
    right, lucky = told(true, 1), told(CAPTION, 0)
    verdicts = judged((right, lucky), (right, right))
    assert [verdict.reason for verdict in verdicts] == ["CAPTION_DOUBTED"] * 2
    assert judged((right, lucky))[0].winner is Winner.MODEL_B  # two alone cannot outvote a caption


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (replace(FIRST, options=("train", "wind", "boat")), "NO_TRUE_OPTION"),
        (replace(FIRST, path=replace(PATH, skill="what")), "AMBIGUOUS"),
        (replace(FIRST, path=replace(PATH, skill="said")), "CAPTION_SILENT"),
    ],
)
def test_question_without_one_right_option_is_discarded(question: Question, reason: str) -> None:
    assert judged((Answer(0), Answer(0)), question=question)[0].reason == reason


def test_faulty_roles_err_as_often_as_they_are_told(source: FolderSource) -> None:
    captioner = FaultyCaptioner(0.2)
    items = [source.open(number) for number in range(80)]
    wrong = sum(captioner.caption(item) != item.record for item in items)
    assert 6 <= wrong <= 28
    assert captioner.caption(items[0]) == captioner.caption(items[0])
    questions = [replace(FIRST, options=(item.record.phrases[0], "none of it")) for item in items]
    asked = [replace(q, path=replace(PATH, skill="what")) for q in questions]
    answers = _answers(RecordAnswerer("a", 0.1, 0.2), items, asked)
    assert 10 <= sum(answer.option != 0 for answer in answers) <= 36  # 1 - 0.9 * 0.8 = 0.28 of 80


def _answers(by: RecordAnswerer, items: Sequence[Item], asked: Sequence[Question]) -> list[Answer]:
    return [by.answer(item, [question])[0] for item, question in zip(items, asked, strict=True)]


def test_wrong_answers_are_discarded_and_right_ones_kept_though_a_fifth_is_corrupted(
    source: FolderSource,
) -> None:
    found = tally(judged_with_faults(source, range(80), Faults()))["all"].to_plain()
    assert found["questions"] > 200
    assert found["precision"] >= 0.98
    assert found["wrong_discarded"] >= 0.95
    assert found["recall"] >= 0.80


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FolderSource:
    folder: Path = write_flux_pack(tmp_path_factory.mktemp("pack"))
    scenes = SceneConfig(80, sounds=("esc10",), speech=("speechocean762",))
    return FolderSource(folder, FluxRecipe("truth", scenes=scenes))
