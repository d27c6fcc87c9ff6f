"""The judge against a real HTTP server on this machine."""

from __future__ import annotations

import pytest

from eureka.errors import InvalidInputError, StageUnavailableError, UnauthenticatedError
from eureka.evaluation.suites.captions import final_answer, judge_prompt, prompt_for
from eureka.evaluation.suites.items import Item, ItemAudio, Reply
from eureka.evaluation.suites.judge import Judge, JudgeConfig
from tests.helpers.chat_server import chat_server

ITEM = Item("1", ItemAudio(b""), "Cat", "Which animal is heard?", ("Dog", "Cat"))


@pytest.fixture
def server():
    with chat_server() as running:
        yield running


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def judge(server, pauses):
    return Judge(JudgeConfig(server.url, "judge-1", key="secret", attempts=4), pauses.append)


def test_judge_reads_caption_question_and_options(server, judge):
    prompt = prompt_for(ITEM, {"caption": Reply('a cat says "meow"')})
    assert final_answer(judge.ask(prompt)) == "B. Cat"
    (body,) = server.bodies
    assert (body["model"], body["temperature"], body["seed"]) == ("judge-1", 0, 0)
    assert server.keys == ["Bearer secret"]
    assert '[User Question]: "Which animal is heard?\nA. Dog\nB. Cat"' in prompt


def test_prompt_has_both_places_and_captions_do_not_break_them():
    assert {"{caption}", "{question}"} <= set(judge_prompt().split('"'))
    assert "literal {question} here" in prompt_for(ITEM, {"caption": Reply("literal {question} here")})


@pytest.mark.parametrize("fault", [429, 500, 503, "garbage", "empty", "cut"])
def test_judge_asks_again_after_a_passing_fault(server, judge, pauses, fault):
    server.faults += [fault, fault]
    assert "Answer:" in judge.ask("prompt")
    assert len(server.bodies) == 3
    assert pauses == [1.0, 2.0]


def test_judge_that_never_answers_is_unavailable(server, judge):
    server.faults += [500] * 4
    with pytest.raises(StageUnavailableError, match="after 4 calls: 500") as caught:
        judge.ask("prompt")
    assert caught.value.reason == "JUDGE_UNAVAILABLE"


@pytest.mark.parametrize(("status", "kind"), [(401, UnauthenticatedError), (400, InvalidInputError)])
def test_judge_does_not_insist_where_it_is_refused(server, judge, status, kind):
    server.faults.append(status)
    with pytest.raises(kind) as caught:
        judge.ask("prompt")
    assert len(server.bodies) == 1
    assert "secret" not in str(caught.value)


def test_judge_wants_a_url():
    with pytest.raises(InvalidInputError, match="http"):
        JudgeConfig("localhost:8000", "m")


@pytest.mark.parametrize(
    ("text", "answer"),
    [("First Answer: A\nno, Answer: B. Cat\n", "B. Cat"), ("C", "C"), ("", "")],
)
def test_final_answer_is_the_last(text, answer):
    assert final_answer(text) == answer
