"""Constrained requests in the engine, with a constraint that is written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from eureka.engine.engine import Engine
from eureka.engine.reference import ReferenceBackend
from eureka.engine.request import (
    MAX_CHOICE_CHARACTERS,
    MAX_CHOICES,
    MAX_REGEX_CHARACTERS,
    MAX_SCHEMA_BYTES,
    Delta,
    Request,
    check_sampling,
)
from eureka.errors import InvalidInputError
from eureka.model.eureka_audio import EurekaAudio
from eureka.types import Constraint, Ending, SamplingParams
from tests.helpers.requests import END_TOKEN, make_request


class Sequence:
    """Allows one of some sequences of ids, none the beginning of another."""

    def __init__(self, *allowed: tuple[int, ...]) -> None:
        self._left = list(allowed)
        self._said: tuple[int, ...] = ()

    def mask(self) -> NDArray[np.bool_]:
        mask = np.zeros(600, dtype=np.bool_)
        mask[[each[len(self._said)] for each in self._left]] = True
        return mask

    def push(self, token_id: int) -> bool:
        self._said += (token_id,)
        self._left = [each for each in self._left if each[: len(self._said)] == self._said]
        return self._left == [self._said]


class Nothing:
    """Has failed."""

    def mask(self) -> NDArray[np.bool_]:
        return np.zeros(600, dtype=np.bool_)

    def push(self, token_id: int) -> bool:
        return False


def build_engine(model: EurekaAudio) -> Engine:
    return Engine(ReferenceBackend(model.backbone, 4, context_tokens=64), END_TOKEN)


def told(deltas: list[Delta]) -> tuple[list[int], Ending | None]:
    return [token_id for delta in deltas for token_id in delta.token_ids], deltas[-1].ending


def constrained(number: int, constraint: Sequence | Nothing, **sampling: object) -> Request:
    return replace(make_request(number, **sampling), constraint=constraint)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_answer_is_one_of_the_allowed_and_stops_without_an_end_token(
    model: EurekaAudio, temperature: float
) -> None:
    choices = (11, 12, 13), (11, 14), (15,)
    request = constrained(1, Sequence(*choices), temperature=temperature, seed=3)
    ids, ending = told(list(build_engine(model).submit(request)))
    assert tuple(ids) in choices and ending is Ending.STOP


def test_mates_of_a_constrained_request_answer_as_alone(model: EurekaAudio) -> None:
    alone = [told(list(build_engine(model).submit(make_request(number)))) for number in (2, 3)]
    engine = build_engine(model)
    mask = engine.submit(constrained(1, Sequence(tuple(range(20, 30)))))
    mates = [engine.submit(make_request(number)) for number in (2, 3)]
    assert told(list(mask)) == (list(range(20, 30)), Ending.STOP)
    assert [told(list(mate)) for mate in mates] == alone


def test_answer_that_is_cut_ends_with_length(model: EurekaAudio) -> None:
    request = constrained(1, Sequence((20, 21, 22)), max_new_tokens=2)
    assert told(list(build_engine(model).submit(request))) == ([20, 21], Ending.LENGTH)


def test_answer_whole_at_its_last_token_ends_with_stop(model: EurekaAudio) -> None:
    request = constrained(1, Sequence((20, 21, 22)), max_new_tokens=3)
    assert told(list(build_engine(model).submit(request))) == ([20, 21, 22], Ending.STOP)


def test_answer_that_says_the_same_again_and_again_is_no_loop(model: EurekaAudio) -> None:
    request = constrained(1, Sequence((20, 21) * 20), max_new_tokens=40)
    assert told(list(build_engine(model).submit(request))) == ([20, 21] * 20, Ending.STOP)


def test_constraint_that_allows_nothing_ends_its_request_alone_with_error(
    model: EurekaAudio, caplog: pytest.LogCaptureFixture
) -> None:
    engine = build_engine(model)
    failed, mate = engine.submit(constrained(1, Nothing())), engine.submit(make_request(2))
    assert told(list(failed)) == ([], Ending.ERROR)
    assert told(list(mate))[1] is Ending.LENGTH
    assert "no_token_allowed" in caplog.text


class Breaking:
    """Raises where it is told to; as a stop condition, too."""

    def __init__(self, place: str) -> None:
        self._place = place

    def mask(self) -> NDArray[np.bool_]:
        assert self._place != "mask", "broken"
        return np.ones(600, dtype=np.bool_)

    def push(self, token_id: int) -> bool:
        raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("name", "place"), [("constraint", "mask"), ("constraint", "push"), ("stop", "push")]
)
def test_condition_that_raises_ends_its_request_alone_with_error(
    model: EurekaAudio, name: str, place: str
) -> None:
    engine = build_engine(model)
    alone = told(list(build_engine(model).submit(make_request(2))))
    mate = engine.submit(make_request(2))
    failed = engine.submit(replace(make_request(1), **{name: Breaking(place)}))  # type: ignore[arg-type]
    assert told(list(failed))[1] is Ending.ERROR
    assert told(list(mate)) == alone
    assert engine.stats().num_free_slots == 4


@pytest.mark.parametrize(
    ("constraint", "limit"),
    [
        (Constraint(), "give one of"),
        (Constraint(choices=("a",), regex="a"), "give one of"),
        (Constraint(choices=()), "1 to 256 choices"),
        (Constraint(choices=("a",) * (MAX_CHOICES + 1)), "1 to 256 choices"),
        (Constraint(choices=("a", "")), "1 to 256 characters"),
        (Constraint(choices=("a" * (MAX_CHOICE_CHARACTERS + 1),)), "1 to 256 characters"),
        (Constraint(regex=""), "1 to 4,096 characters"),
        (Constraint(regex="a" * (MAX_REGEX_CHARACTERS + 1)), "1 to 4,096 characters"),
        (Constraint(json_schema="\u00e9" * (MAX_SCHEMA_BYTES // 2) + "1"), "65,536 bytes, not 65,537"),
    ],
)
def test_constraint_beyond_its_bounds_is_refused_with_the_limit(constraint: Constraint, limit: str) -> None:
    with pytest.raises(InvalidInputError, match=limit) as caught:
        check_sampling(SamplingParams(constraint=constraint))
    assert caught.value.reason == "INVALID_CONSTRAINT"


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint(choices=("a" * MAX_CHOICE_CHARACTERS,) * MAX_CHOICES),
        Constraint(regex="a" * MAX_REGEX_CHARACTERS),
        Constraint(json_schema="a" * MAX_SCHEMA_BYTES),
    ],
    ids=["choices", "regex", "json_schema"],
)
def test_constraint_at_its_bounds_passes(constraint: Constraint) -> None:
    check_sampling(SamplingParams(constraint=constraint))
