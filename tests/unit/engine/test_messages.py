import numpy as np
import pytest

from eureka.engine.messages import (
    delta_json,
    error_text,
    join_deltas,
    parse_delta,
    parse_error,
    parse_request,
    request_json,
)
from eureka.engine.request import Delta, Label, LabelScores
from eureka.errors import (
    EurekaError,
    InvalidAudioError,
    InvalidInputError,
    PromptTooLongError,
    QueueFullError,
    StageUnavailableError,
)
from eureka.types import Constraint, Ending, TokenLogprobs, Usage
from tests.helpers.requests import make_request


def test_request_survives_the_crossing_and_its_deadline_moves_to_the_other_clock() -> None:
    request = make_request(1, deadline=105.0, priority=3, stop=("end",), ban_token_ids=(3, 4), top_k=5)
    labels = (Label("cat", (7, 8)), Label("dog", (9,)))
    text = request_json(request, labels, now=100.0)
    arrays = (request.prompt_ids, request.token_type_ids, request.audio_embeddings)
    call = parse_request(text, *arrays, now=7.0)
    assert call.labels == labels
    assert (call.request.request_id, call.request.sampling) == (request.request_id, request.sampling)
    assert (call.request.deadline, call.request.priority) == (12.0, 3)


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint(choices=("a", "b")),
        Constraint(choices=()),
        Constraint(regex="a+"),
        Constraint(json_schema="{}"),
    ],
)
def test_constraint_survives_the_crossing(constraint: Constraint) -> None:
    request = make_request(1, constraint=constraint, min_p=0.1, presence_penalty=-0.5)
    arrays = (request.prompt_ids, request.token_type_ids, request.audio_embeddings)
    back = parse_request(request_json(request, (), 0.0), *arrays, now=0.0)
    assert back.request.sampling == request.sampling


def test_request_without_deadline_and_labels_stays_so() -> None:
    request = make_request(1)
    call = parse_request(
        request_json(request, (), 1.0), request.prompt_ids, request.token_type_ids, np.zeros((0, 0)), 2.0
    )
    assert call.request.deadline is None
    assert call.labels == ()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"request_id": "a", "sampling": {"heat": 1}}',
        b'{"request_id": "a", "sampling": {"constraint": 1}}',
        b'{"request_id": "a", "sampling": {"constraint": {"words": 1}}}',
        b'{"request_id": "a", "labels": 3}',
    ],
)
def test_unreadable_request_is_the_callers_fault(text: bytes) -> None:
    ids = np.zeros(1, dtype=np.int64)
    with pytest.raises(InvalidInputError) as caught:
        parse_request(text, ids, ids, np.zeros((0, 0)), 0.0)
    assert caught.value.reason == "INVALID_MESSAGE"


def test_delta_survives_the_crossing() -> None:
    logprobs = (TokenLogprobs(5, -0.5, (5, 6), (-0.5, -1.5)),)
    last = Delta((5,), Ending.LENGTH, Usage(3, 9, {"decode": 0.5}), logprobs)
    assert parse_delta(np.array([5]), delta_json(last)).delta == last
    assert delta_json(Delta((1, 2))) == b"{}"


def test_scores_survive_the_crossing() -> None:
    usage = Usage(4)
    scores = LabelScores(("a", "b"), (-1.0, -2.5), usage)
    answer = parse_delta(np.array([]), delta_json(Delta((), Ending.STOP, usage), scores))
    assert answer.scores == scores


def test_joined_deltas_keep_order_logprobs_and_ending() -> None:
    one, two = (TokenLogprobs(i, -1.0, (i,), (-1.0,)) for i in (1, 2))
    usage = Usage(1, 2)
    parts = [Delta((1,), logprobs=(one,)), Delta((2,), logprobs=(two,)), Delta((), Ending.STOP, usage)]
    assert join_deltas(parts) == Delta((1, 2), Ending.STOP, usage, (one, two))


@pytest.mark.parametrize(
    "error",
    [
        InvalidAudioError("no samples", reason="EMPTY_AUDIO"),
        PromptTooLongError("9 tokens: limit 8"),
        QueueFullError("2 wait\nalready"),
        StageUnavailableError("gone", reason="MODEL_GONE"),
        InvalidInputError("shape (3, 4): it must be (T, 64)", reason="INVALID_TENSOR"),
    ],
    ids=lambda error: error.reason,
)
@pytest.mark.parametrize("before", ["", "in ensemble 'audio_frontend', "])
def test_error_comes_back_with_class_reason_and_message(error: EurekaError, before: str) -> None:
    back = parse_error(before + error_text(error))
    assert type(back) is type(error)
    assert back is not None
    assert (back.reason, back.message) == (error.reason, error.message)


def test_error_not_raised_on_purpose_keeps_its_message_to_itself() -> None:
    text = error_text(ValueError("secret"))
    assert "secret" not in text
    assert type(parse_error(text)) is EurekaError


@pytest.mark.parametrize("text", ["", "Stub process is not healthy.", "Invalid argument: UNKNOWN_WORD: x"])
def test_foreign_text_is_no_error_of_ours(text: str) -> None:
    assert parse_error(text) is None
