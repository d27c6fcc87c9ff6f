"""Answers decoded many steps at once are those of single steps, whatever ends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eureka.engine.backend import StepChoice
from eureka.engine.engine import Engine
from eureka.engine.limits import EngineLimits
from eureka.engine.many_steps import MAX_STEPS
from eureka.engine.native.backend import NativeBackend
from eureka.engine.request import Request
from eureka.model.eureka_audio import EurekaAudio, save_checkpoint
from eureka.model.load_plan import LoadPlan, plan_load
from eureka.types import Ending
from tests.helpers.native import needs_kernels
from tests.helpers.requests import END_TOKEN, ManualClock, make_request

pytestmark = needs_kernels

Answer = tuple[list[int], Ending | None, int]


class OneStep:
    """The same arithmetic without many steps."""

    def __init__(self, backend: NativeBackend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        if name in ("decode_steps", "keep_steps"):
            raise AttributeError(name)
        return getattr(self._backend, name)


class Counting(NativeBackend):
    """Notes the steps of each call, and can give out rows of no numbers."""

    breaks_after = 10**6

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.calls: list[int] = []

    def decode_steps(
        self, slots: Sequence[int], token_ids: Sequence[int], choices: Sequence[StepChoice], end_token_id: int
    ) -> list[list[int]]:
        self.calls.append(len(choices[0].draws))
        answers = super().decode_steps(slots, token_ids, choices, end_token_id)
        return [ids[: self.breaks_after] for ids in answers]


@pytest.fixture(scope="module")
def plan(model: EurekaAudio, tmp_path_factory: pytest.TempPathFactory) -> LoadPlan:
    folder: Path = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(model, folder)
    return plan_load(folder)


def engine_over(backend: Any, num_slots: int = 3, end_token_id: int = END_TOKEN) -> Engine:
    return Engine(backend, end_token_id, ManualClock(), EngineLimits(max_waiting=99))


def answers(engine: Engine, requests: Sequence[Request]) -> list[Answer]:
    handles = [engine.submit(request) for request in requests]
    found: list[Answer] = []
    for handle in handles:
        deltas = list(handle)
        usage = deltas[-1].usage
        assert usage is not None
        ids = [token_id for delta in deltas for token_id in delta.token_ids]
        found.append((ids, deltas[-1].ending, usage.generated_tokens))
    return found


class StopAfter:
    def __init__(self, num_tokens: int) -> None:
        self.num_left = num_tokens

    def push(self, token_id: int) -> bool:
        self.num_left -= 1
        return self.num_left == 0


def mixed() -> list[Request]:
    """Greedy and drawn, long and short, with and without what has to be looked at after each token."""
    plain = {"repetition_penalty": 1.0}
    return [
        make_request(0, max_new_tokens=40, **plain),
        make_request(1, length=9, num_audio=3, temperature=0.9, top_k=30, seed=5, max_new_tokens=37, **plain),
        make_request(2, length=31, max_new_tokens=20, temperature=1.5, seed=2, **plain),
        make_request(3, length=12, temperature=0.7, top_p=0.8, seed=6, max_new_tokens=9, **plain),
        make_request(4, length=26, num_audio=0, max_new_tokens=30),
        replace(make_request(5, length=14, max_new_tokens=30, **plain), stop=StopAfter(7)),
        make_request(6, length=14, max_new_tokens=1, **plain),
        make_request(7, length=14, top_logprobs=2, max_new_tokens=11, **plain),
        make_request(8, length=14, temperature=2.0, seed=9, max_new_tokens=50, **plain),
    ]


@pytest.mark.parametrize("num_slots", [1, 3])
def test_many_steps_give_the_answers_of_single_ones(plan: LoadPlan, num_slots: int) -> None:
    many, one = (Counting(plan, "exact", num_slots, 128) for _ in range(2))
    assert answers(engine_over(many), mixed()) == answers(engine_over(OneStep(one)), mixed())
    assert max(many.calls) == MAX_STEPS and not one.calls


def test_end_token_within_a_call_ends_with_stop(plan: LoadPlan) -> None:
    request = make_request(0, max_new_tokens=40, repetition_penalty=1.0)
    free = answers(engine_over(NativeBackend(plan, "exact", 1, 128)), [request])[0][0]
    end = free[9]
    cut = free[: free.index(end)]
    engine = engine_over(NativeBackend(plan, "exact", 1, 128), end_token_id=end)
    assert answers(engine, [request]) == [(cut, Ending.STOP, len(cut))]


def test_lone_request_pauses_and_goes_on_where_it_stood(plan: LoadPlan) -> None:
    request = make_request(0, max_new_tokens=40, repetition_penalty=1.0, temperature=1.0, seed=3)
    expected = answers(engine_over(NativeBackend(plan, "exact", 1, 128)), [request])[0][0]
    engine = engine_over(NativeBackend(plan, "exact", 1, 128))
    handle = engine.submit(request)
    for _ in range(3):
        engine.step()
    answers(engine, [make_request(1, priority=2)])
    assert engine.stats().num_pauses == 1
    assert [token_id for delta in handle for token_id in delta.token_ids] == expected


def test_row_of_no_numbers_ends_with_error_and_keeps_what_it_said(plan: LoadPlan) -> None:
    request = make_request(0, max_new_tokens=40, repetition_penalty=1.0)
    backend = Counting(plan, "exact", 1, 128)
    backend.breaks_after = 3
    ids, ending, count = answers(engine_over(backend), [request])[0]
    assert ending is Ending.ERROR and len(ids) == count >= 3
    backend.breaks_after = 10**6
    assert answers(engine_over(backend), [replace(request, request_id="next")])[0][1] is Ending.LENGTH


def test_slow_steps_go_one_by_one(plan: LoadPlan) -> None:
    """A call of many steps of a large model would keep newcomers and cancelling waiting."""
    backend, clock = Counting(plan, "exact", 1, 128), ManualClock()

    def slow(slots: Sequence[int], token_ids: Sequence[int]) -> np.ndarray:
        clock.seconds += 0.05
        return NativeBackend.decode(backend, slots, token_ids)

    backend.decode = slow  # type: ignore[method-assign]
    engine = Engine(backend, END_TOKEN, clock)
    answers(engine, [make_request(0, max_new_tokens=20, repetition_penalty=1.0)])
    assert not backend.calls
