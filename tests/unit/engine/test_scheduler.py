"""Who comes when: strict priorities, room in slots and cache, and that nobody waits for ever."""

import math

import pytest

from eureka.engine.engine import Engine, EngineLimits
from eureka.engine.handle import RequestHandle
from eureka.errors import InvalidInputError, PromptTooLongError, QueueFullError
from eureka.types import Ending, Priority
from tests.helpers.requests import END_TOKEN, ManualClock
from tests.helpers.sum_backend import SumBackend, small_request

NO_END = {"ban_token_ids": (END_TOKEN,)}


def build_engine(num_slots: int, **limits: float) -> Engine:
    settings = EngineLimits(**{"max_step_prefill_tokens": 16, **limits})  # type: ignore[arg-type]
    return Engine(SumBackend(num_slots), END_TOKEN, ManualClock(), settings)


def step(engine: Engine, seconds: float = 1.0) -> None:
    assert isinstance(engine.clock, ManualClock)
    engine.clock.seconds += seconds
    engine.step()


def finish(engine: Engine) -> None:
    while engine.step():
        pass


def prefilled_by_step(engine: Engine) -> list[int]:
    assert isinstance(engine.backend, SumBackend)
    return [call.num_tokens for call in engine.backend.calls if call.kind == "prefill"]


def test_long_prompt_is_prefilled_in_chunks_while_others_decode_in_each_step() -> None:
    engine = build_engine(2)
    running = engine.submit(small_request(0, max_new_tokens=20, **NO_END))
    engine.step()
    long = engine.submit(small_request(1, length=50, **NO_END))
    for number in range(4):
        assert long.take() is None
        engine.step()
        assert running.take() is not None, f"step {number} gave the running one nothing"
    assert long.take() is not None  # 16 + 16 + 16 + 2
    assert prefilled_by_step(engine) == [12, 16, 16, 16, 2]


def test_short_prompts_pass_a_long_one_that_came_before() -> None:
    engine = build_engine(3)
    long = engine.submit(small_request(0, length=60, max_new_tokens=1))
    engine.step()
    short = engine.submit(small_request(1, length=8, max_new_tokens=1))
    engine.step()
    assert short.ending is not None and long.ending is None


def test_endless_short_prompts_do_not_hold_up_a_long_one() -> None:
    engine = build_engine(8)
    long = engine.submit(small_request(0, length=60, max_new_tokens=1))
    for number in range(1, 9):
        for copy in range(3):
            engine.submit(small_request(number, 16, request_id=f"{number}-{copy}", max_new_tokens=1))
        engine.step()
    assert long.ending is not None  # 60 tokens at no less than 8 a step


def test_interactive_prompt_takes_the_budget_before_a_bulk_one() -> None:
    engine = build_engine(2)
    engine.submit(small_request(0, length=58, priority=Priority.BULK))
    engine.step()
    urgent = engine.submit(small_request(1, length=16, priority=Priority.INTERACTIVE))
    engine.step()
    assert urgent.take() is not None


class Flood:
    """Keeps three interactive requests a slot waiting or running."""

    def __init__(self, engine: Engine, priority: Priority = Priority.INTERACTIVE) -> None:
        self._engine = engine
        self._priority = priority
        self._number = 1000
        self.handles: list[RequestHandle] = []

    def step(self) -> None:
        num_live = sum(handle.ending is None for handle in self.handles)
        for _ in range(3 * self._engine.backend.num_slots - num_live):
            self._number += 1
            self.handles.append(self._engine.submit(small_request(self._number, priority=self._priority)))
        step(self._engine)


@pytest.mark.parametrize("num_slots", [1, 2, 4])
@pytest.mark.parametrize("length", [10, 50])
def test_bulk_request_under_an_endless_flood_ends_by_ageing(num_slots: int, length: int) -> None:
    engine = build_engine(num_slots, ageing_seconds=10)
    flood = Flood(engine)
    bulk = engine.submit(small_request(0, length, priority=Priority.BULK))
    for _ in range(11 + 6 + 10 + 8):  # ageing, a slot that gets free, chunks of half a budget, the answer
        flood.step()
    assert bulk.ending is not None


def test_bulk_request_that_is_paused_again_and_again_ends_by_ageing() -> None:
    engine = build_engine(1, ageing_seconds=20)
    bulk = engine.submit(small_request(0, max_new_tokens=30, priority=Priority.BULK, **NO_END))
    step(engine)
    for number in range(1, 80):
        engine.submit(small_request(number, max_new_tokens=2, priority=Priority.INTERACTIVE))
        step(engine)
    assert bulk.ending is Ending.LENGTH
    assert engine.stats().num_pauses >= 1


def test_bulk_request_without_ageing_waits_behind_the_flood() -> None:
    engine = build_engine(2, ageing_seconds=math.inf)
    flood = Flood(engine)
    bulk = engine.submit(small_request(0, priority=Priority.BULK))
    for _ in range(60):
        flood.step()
    assert bulk.ending is None


def test_long_line_of_old_bulk_work_becomes_urgent_one_by_one() -> None:
    engine = build_engine(2, ageing_seconds=10)
    for number in range(20):
        engine.submit(small_request(number, max_new_tokens=30, priority=Priority.BULK, **NO_END))
    for _ in range(50):
        step(engine)
    urgent = engine.submit(small_request(50, priority=Priority.INTERACTIVE))
    step(engine)
    assert urgent.take() is not None


def test_urgent_requests_go_on_between_aged_ones_on_a_single_slot() -> None:
    engine = build_engine(1, ageing_seconds=10)
    for number in range(5):
        engine.submit(small_request(number, max_new_tokens=20, priority=Priority.BULK, **NO_END))
    flood = Flood(engine)
    longest = stretch = 0
    for _ in range(200):
        num_ended = sum(handle.ending is not None for handle in flood.handles)
        flood.step()
        has_ended = sum(handle.ending is not None for handle in flood.handles) > num_ended
        stretch = 0 if has_ended else stretch + 1
        longest = max(longest, stretch)
    assert 20 <= longest <= 20 + 2 * 7  # an aged answer, and the urgent ones around it


def test_probe_goes_before_an_aged_request() -> None:
    engine = build_engine(2, ageing_seconds=2, probe_slots=1)
    engine.submit(small_request(0, max_new_tokens=40, priority=Priority.INTERACTIVE, **NO_END))
    step(engine)
    engine.submit(small_request(1, priority=Priority.BULK))
    step(engine, 5.0)
    probe = engine.submit(small_request(2, max_new_tokens=1, priority=Priority.PROBE))
    step(engine)
    assert probe.ending is not None


def test_requests_that_do_not_fit_the_cache_together_take_turns() -> None:
    engine = build_engine(4, max_held_tokens=40)  # 12 + 6 each
    handles = [engine.submit(small_request(number)) for number in range(5)]
    most = 0
    while engine.step():
        most = max(most, engine.stats().num_running)
    assert most == 2 and all(handle.ending for handle in handles)


def test_request_that_can_never_fit_the_cache_is_refused() -> None:
    with pytest.raises(PromptTooLongError, match="context of 40"):
        build_engine(4, max_held_tokens=40).submit(small_request(0, length=35))


def test_urgent_request_pauses_as_many_as_it_needs_room_for() -> None:
    engine = build_engine(4, max_held_tokens=60)
    for number in range(3):
        engine.submit(small_request(number, priority=Priority.BULK, **NO_END))
    engine.step()
    urgent = engine.submit(small_request(3, length=30, priority=Priority.INTERACTIVE, **NO_END))
    engine.step()
    assert engine.stats().num_paused == 2 and engine.stats().num_running == 2
    finish(engine)
    assert urgent.ending is Ending.LENGTH


def test_aged_request_that_needs_much_room_is_not_passed_by_small_ones_for_ever() -> None:
    engine = build_engine(4, max_held_tokens=60, ageing_seconds=5)
    flood = Flood(engine)
    large = engine.submit(small_request(0, length=48, priority=Priority.BULK))
    for _ in range(60):
        flood.step()
    assert large.ending is not None


def test_paused_requests_take_no_place_in_the_line() -> None:
    engine = build_engine(1, max_waiting=1)
    engine.submit(small_request(0, priority=Priority.BULK, **NO_END))
    engine.step()
    engine.submit(small_request(1, priority=Priority.INTERACTIVE, **NO_END))
    engine.step()
    engine.submit(small_request(2))
    with pytest.raises(QueueFullError, match="1 requests wait"):
        engine.submit(small_request(3))


def test_stats_tell_where_requests_stand() -> None:
    engine = build_engine(2)
    handles: list[RequestHandle] = []
    for number, length in ((0, 12), (1, 58)):
        handles.append(engine.submit(small_request(number, length=length, priority=Priority.BULK, **NO_END)))
    engine.step()
    handles.append(engine.submit(small_request(2, priority=Priority.INTERACTIVE, **NO_END)))
    engine.submit(small_request(3, priority=Priority.BULK))
    engine.step()
    stats = engine.stats()
    # The bulk prompt that is left stands still while the urgent one is prefilled.
    assert (stats.num_waiting, stats.num_paused, stats.num_running, stats.num_prefilling) == (1, 1, 2, 1)
    assert (stats.num_slots, stats.num_free_slots, stats.num_pauses, stats.num_steps) == (2, 0, 1, 2)
    finish(engine)
    assert engine.stats().num_free_slots == 2


def test_urgent_prompt_takes_a_step_without_the_prompts_of_bulk_work() -> None:
    engine = build_engine(3)
    for number in (0, 1):
        engine.submit(small_request(number, length=40, priority=Priority.BULK, **NO_END))
    engine.step()
    before = engine.stats().prefilled_tokens
    urgent = engine.submit(small_request(2, length=5, priority=Priority.INTERACTIVE, **NO_END))
    engine.step()
    assert urgent.take() is not None
    assert engine.stats().prefilled_tokens - before == 5
    engine.step()
    assert engine.stats().prefilled_tokens - before > 5  # and the next step is theirs again
    finish(engine)


@pytest.mark.parametrize("tokens", [0, -1])
def test_limits_without_any_prefill_are_refused(tokens: int) -> None:
    with pytest.raises(InvalidInputError, match="at least 1"):
        EngineLimits(max_step_prefill_tokens=tokens)
