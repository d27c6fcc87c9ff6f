"""Sampling in messages of both packages."""

from __future__ import annotations

from typing import Any

import pytest

from eureka.api.v1 import content_pb2
from eureka.clients.sampling_wire import fill_sampling, sampling_of
from eureka.stage.v1 import decoder_service_pb2
from eureka.types import Constraint, SamplingParams

CONSTRAINTS = [
    None,
    Constraint(),
    Constraint(choices=()),
    Constraint(choices=("rain", "Ü")),
    Constraint(regex=""),
    Constraint(regex="a+"),
    Constraint(json_schema="{}"),
]
FULL = SamplingParams(
    7,
    0.4,
    20,
    0.9,
    1.05,
    2**32,
    stop=("x", "y z"),
    top_logprobs=5,
    min_p=0.05,
    presence_penalty=-0.3,
    frequency_penalty=1.7,
)


@pytest.fixture(params=[content_pb2, decoder_service_pb2])
def message(request: pytest.FixtureRequest) -> Any:
    return request.param.SamplingParams()


def test_sampling_comes_back_the_same(message: Any) -> None:
    fill_sampling(message, FULL)
    assert sampling_of(type(message).FromString(message.SerializeToString())) == FULL


def test_empty_message_has_the_defaults(message: Any) -> None:
    assert sampling_of(message) == SamplingParams()


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=str)
def test_constraint_comes_back_the_same_empty_ones_too(message: Any, constraint: Constraint | None) -> None:
    fill_sampling(message, SamplingParams(constraint=constraint))
    assert sampling_of(type(message).FromString(message.SerializeToString())).constraint == constraint
