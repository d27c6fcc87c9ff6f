"""Resume tokens: what was sent, over rounds, and what is no token."""

from __future__ import annotations

import random

import pytest

from eureka.errors import InvalidInputError
from eureka.jobs.plan import JobPlan, PlannedSource, PlannedSpan
from eureka.jobs.reading import JobView, RoundState
from eureka.storage.keys import JobKeys
from eureka.types import Span
from services.gateway.jobs.watching import MAX_TOKEN_LETTERS, Place
from tests.helpers.job_rig import job_id


def round_of(number: int, windows: range) -> RoundState:
    spans = tuple(
        PlannedSpan(index, Span(index, index + 1), Span(index, index + 1), "ab") for index in windows
    )
    source = PlannedSource("key", 1, "etag", None)
    return RoundState(JobPlan(number, source, 10, "ab", 8.0, -70.0, "", spans), frozenset(windows))


def test_token_of_any_place_gives_the_place() -> None:
    rng = random.Random(1)
    for _ in range(200):
        place = Place(rng.randrange(4), {rng.randrange(60) for _ in range(rng.randrange(40))})
        assert Place.of(place.token) == place
    assert Place.of("") == Place() and Place().token == "0:"
    assert Place(1, {0, 1, 2, 7}).token == "1:0-2,7-7"


@pytest.mark.parametrize(
    "token",
    ["x", "1", "1:3", "1:3-2", "1:0-1,", ":0-1", "1:0-9999999", "1:0-1 ", "x" * (MAX_TOKEN_LETTERS + 1)],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Place.of(token)
    assert caught.value.reason == "INVALID_RESUME_TOKEN"


def test_later_round_takes_back_what_it_hears_again() -> None:
    first, second = round_of(1, range(6)), round_of(2, range(2, 4))
    place = Place()
    place.enter(JobView(JobKeys("acme", job_id()), (first,)))
    place.sent.update(range(6))
    place.enter(JobView(JobKeys("acme", job_id()), (first, second)))
    assert place == Place(2, {0, 1, 4, 5})
    place.sent.update((2, 3))
    place.enter(JobView(JobKeys("acme", job_id()), (first, second)))
    assert place == Place(2, set(range(6)))
