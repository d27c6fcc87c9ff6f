"""Any order of arrivals, cancels and deadlines, under any limits: what must hold whatever the schedule."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field, replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eureka.engine.backend import Backend
from eureka.engine.engine import Engine, EngineLimits
from eureka.engine.handle import RequestHandle
from eureka.engine.reference import ReferenceBackend
from eureka.engine.request import Label, Request
from eureka.engine.runner import EngineRunner
from eureka.errors import QueueFullError
from eureka.model.eureka_audio import EurekaAudio
from eureka.types import Ending, Priority
from tests.helpers.requests import END_TOKEN, ManualClock, make_request
from tests.helpers.sum_backend import SumBackend, slow_answer, small_request

LABELS = (Label("a", (7, 8)), Label("b", (9,)))


@dataclass(frozen=True)
class Arrival:
    """A request that comes at a random moment."""

    number: int
    length: int
    audio: int | None
    priority: int
    temperature: float
    max_new_tokens: int
    patience: float | None
    is_score: bool

    def request(self, request_id: str) -> Request:
        return small_request(
            self.number,
            self.length,
            self.audio,
            num_audio=9,
            request_id=request_id,
            priority=self.priority,
            temperature=self.temperature,
            max_new_tokens=self.max_new_tokens,
        )


@dataclass(frozen=True)
class Cancel:
    """The caller of the `which`-th arrival, counted from the last, goes away."""

    which: int


@dataclass(frozen=True)
class Steps:
    """Some steps without news."""

    count: int


arrivals = st.builds(
    Arrival,
    number=st.integers(0, 9),
    length=st.integers(1, 40),
    audio=st.sampled_from([None, None, 0, 1]),
    priority=st.sampled_from([Priority.BULK, Priority.DEFAULT, Priority.INTERACTIVE, Priority.PROBE]),
    temperature=st.sampled_from([0.0, 1.0]),
    max_new_tokens=st.integers(1, 12),
    patience=st.sampled_from([None, None, None, None, 3.0, 20.0]),
    is_score=st.sampled_from([False, False, False, True]),
)
events = st.lists(
    st.one_of(arrivals, arrivals, st.builds(Cancel, st.integers(0, 4)), st.builds(Steps, st.integers(1, 4))),
    min_size=12,
    max_size=40,
)
all_limits = st.builds(
    EngineLimits,
    max_waiting=st.just(8),
    probe_slots=st.just(0),
    max_step_prefill_tokens=st.integers(1, 24),
    max_held_tokens=st.sampled_from([None, 64, 90]),
    max_paused_bytes=st.sampled_from([0, 10_000, 10_000]),
    prefix_cache_bytes=st.sampled_from([0, 50, 10_000]),
    ageing_seconds=st.sampled_from([2.0, 10.0, math.inf]),
    batch_invariant=st.booleans(),
)


@dataclass
class Run:
    """An engine on plain arithmetic and all that was asked of it."""

    engine: Engine
    asked: list[tuple[Arrival, RequestHandle]] = field(default_factory=list)
    told: dict[str, list[int]] = field(default_factory=dict)

    @property
    def backend(self) -> SumBackend:
        assert isinstance(self.engine.backend, SumBackend)
        return self.engine.backend

    def play(self, event: Arrival | Cancel | Steps) -> None:
        if isinstance(event, Arrival):
            self._submit(event)
        elif isinstance(event, Steps):
            for _ in range(event.count):
                self.step()
        elif event.which < len(self.asked):
            self.asked[-1 - event.which][1].cancel()

    def step(self) -> bool:
        """One step, its work looked at."""
        assert isinstance(self.engine.clock, ManualClock)
        self.engine.clock.seconds += 1
        num_calls = len(self.backend.calls)
        goes_on = self.engine.step()
        calls = self.backend.calls[num_calls:]
        assert sum(call.kind == "decode" for call in calls) <= 1
        prefilled = sum(call.num_tokens for call in calls if call.kind == "prefill")
        assert prefilled <= self.engine.limits.max_step_prefill_tokens
        return goes_on

    def finish(self) -> None:
        for _ in range(3000):
            if not self.step():
                return
        raise AssertionError("the engine never comes to rest")

    def _submit(self, arrival: Arrival) -> None:
        now = self.engine.clock.now()
        deadline = None if arrival.patience is None else now + arrival.patience
        request = replace(arrival.request(f"{len(self.asked)}"), deadline=deadline)
        try:
            if arrival.is_score:
                handle = self.engine.submit_score(request, LABELS)
            else:
                handle = self.engine.submit(request)
        except QueueFullError:
            assert self.engine.stats().num_waiting >= 8
        else:
            self.asked.append((arrival, handle))


def build_run(limits: EngineLimits, num_slots: int) -> Run:
    return Run(Engine(SumBackend(num_slots), END_TOKEN, ManualClock(), limits))


@cache
def answer_of(arrival: Arrival) -> list[int]:
    return slow_answer(arrival.request("alone"), END_TOKEN)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(events=events, limits=all_limits, num_slots=st.integers(1, 3))
def test_any_schedule_ends_each_once_with_the_answer_of_a_single_run_and_leaks_nothing(
    events: list[Arrival | Cancel | Steps], limits: EngineLimits, num_slots: int
) -> None:
    run = build_run(limits, num_slots)
    for event in events:
        run.play(event)
    run.finish()
    for arrival, handle in run.asked:
        deltas = list(iter(handle.take, None))
        endings = [delta.ending for delta in deltas if delta.ending is not None]
        assert endings == [deltas[-1].ending]
        ids = [token_id for delta in deltas for token_id in delta.token_ids]
        if arrival.is_score:
            assert ids == [] and (handle.scores is not None) == (endings == [Ending.STOP])
        elif endings[0] in (Ending.CANCELLED, Ending.DEADLINE):
            assert ids == answer_of(arrival)[: len(ids)]
        else:
            assert ids == answer_of(arrival)
            is_full = len(ids) == arrival.max_new_tokens
            assert endings[0] is (Ending.LENGTH if is_full else Ending.STOP)
    stats = run.engine.stats()
    assert (stats.num_running, stats.num_waiting, stats.num_paused) == (0, 0, 0)
    assert stats.num_free_slots == num_slots and run.backend.num_held() == 0
    assert sum(stats.endings.values()) == len(run.asked)
    assert stats.prefix_cache_bytes <= limits.prefix_cache_bytes


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    events=events,
    limits=all_limits,
    num_slots=st.integers(1, 3),
    length=st.integers(1, 40),
)
def test_interactive_request_waits_at_most_one_step_behind_any_less_urgent_work(
    events: list[Arrival | Cancel | Steps], limits: EngineLimits, num_slots: int, length: int
) -> None:
    limits = replace(limits, ageing_seconds=math.inf, max_paused_bytes=10**9, max_waiting=64)
    run = build_run(limits, num_slots)
    for event in events:
        if not isinstance(event, Arrival) or event.priority < Priority.INTERACTIVE:
            run.play(event)
    urgent = run.engine.submit(small_request(77, length, priority=Priority.INTERACTIVE, max_new_tokens=4))
    multiple = limits.chunk_tokens or 1
    for _ in range(math.ceil(length / (limits.max_step_prefill_tokens // multiple * multiple))):
        run.step()
    assert urgent.take() is not None
    run.finish()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    lows=st.lists(arrivals, min_size=1, max_size=4),
    limits=all_limits,
    num_slots=st.integers(1, 3),
    flood_priority=st.sampled_from([Priority.DEFAULT, Priority.INTERACTIVE]),
)
def test_no_request_starves_under_an_endless_flood(
    lows: list[Arrival], limits: EngineLimits, num_slots: int, flood_priority: Priority
) -> None:
    limits = replace(limits, ageing_seconds=10.0, max_step_prefill_tokens=12, probe_slots=0)
    run = build_run(limits, num_slots)
    for low in lows:
        run.play(replace(low, priority=Priority.BULK, patience=None))
    wanted = [handle for _, handle in run.asked]
    number = 0
    # Each: ageing, then room that the flood leaves (12 steps twice), 40 tokens by 6 a step, 12 new ones.
    for _ in range(len(lows) * (11 + 2 * 12 + 7 + 12)):
        while run.engine.stats().num_waiting < 8:
            number += 1
            run.engine.submit(
                small_request(number, 12, request_id=f"flood-{number}", priority=flood_priority)
            )
        run.step()
    assert all(handle.ending is not None for handle in wanted)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(events=events, limits=all_limits, num_slots=st.integers(1, 3))
def test_batch_invariant_prefills_alone_and_ends_chunks_at_fixed_places(
    events: list[Arrival | Cancel | Steps], limits: EngineLimits, num_slots: int
) -> None:
    limits = replace(limits, batch_invariant=True)
    assert limits.chunk_tokens is not None
    run = build_run(limits, num_slots)
    for event in events:
        run.play(event)
    run.finish()
    lengths = {arrival.length for arrival, _ in run.asked}
    for call in run.backend.calls:
        if call.kind == "prefill":
            assert len(call.slots) == 1
            assert call.starts[0] % limits.chunk_tokens == 0
            assert call.ends[0] % limits.chunk_tokens == 0 or call.ends[0] in lengths
            assert call.ends[0] - call.starts[0] <= limits.chunk_tokens


def test_many_threads_under_a_runner_get_single_answers_while_some_leave() -> None:
    engine = Engine(SumBackend(3), END_TOKEN, limits=EngineLimits(max_step_prefill_tokens=8))
    found: dict[int, list[int]] = {}

    def request_of(number: int) -> Request:
        return small_request(number, 10 + number, number % 3, num_audio=7, priority=1 + number % 3)

    def ask(number: int) -> None:
        handle = engine.submit(request_of(number))
        if number % 5 == 4:
            handle.cancel()
        found[number] = [token_id for delta in handle for token_id in delta.token_ids]

    with EngineRunner(engine):
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    for number in range(30):
        expected = slow_answer(request_of(number), END_TOKEN)
        assert found[number] == (expected[: len(found[number])] if number % 5 == 4 else expected)
    assert engine.stats().num_free_slots == 3


def ids_of(handle: RequestHandle) -> list[int]:
    return [token_id for delta in iter(handle.take, None) for token_id in delta.token_ids]


def model_request(number: int, request_id: str = "alone", priority: int = Priority.DEFAULT) -> Request:
    """One of six; 3 to 5 ask again about the audio of 0 to 2."""
    first = make_request(number % 3, length=24, num_audio=14)
    other = make_request(number, length=24 + 5 * (number % 3), num_audio=14, max_new_tokens=5, seed=number)
    ids, embeddings = other.prompt_ids.copy(), first.audio_embeddings
    ids[:16] = first.prompt_ids[:16]
    request = replace(other, prompt_ids=ids, audio_embeddings=embeddings, priority=priority)
    sampling = replace(request.sampling, temperature=0.8 if number % 2 else 0.0)
    return replace(request, request_id=request_id, sampling=sampling)


def build_model_engine(backend: Backend, **limits: float) -> Engine:
    return Engine(backend, END_TOKEN, ManualClock(), EngineLimits(**limits))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def single_ids(model: EurekaAudio) -> list[list[int]]:
    """Answers of the six, each in an engine of its own, its prompt in one pass."""
    found = []
    for number in range(6):
        engine = build_model_engine(ReferenceBackend(model.backbone, 1, 64), prefix_cache_bytes=0)
        handle = engine.submit(model_request(number))
        while engine.step():
            pass
        found.append(ids_of(handle))
    return found


moves = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 5), st.sampled_from([Priority.BULK, Priority.INTERACTIVE])),
        st.just("step"),
        st.just("cancel"),
    ),
    min_size=4,
    max_size=8,
)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(moves=moves, budget=st.integers(5, 20), is_invariant=st.booleans())
def test_model_in_any_schedule_gives_the_ids_of_single_runs(
    model: EurekaAudio,
    single_ids: list[list[int]],
    moves: list[tuple[int, Priority] | str],
    budget: int,
    is_invariant: bool,
) -> None:
    backend = ReferenceBackend(model.backbone, 2, 64)
    engine = build_model_engine(backend, max_step_prefill_tokens=budget, batch_invariant=is_invariant)
    asked: list[tuple[int, RequestHandle]] = []
    for place, move in enumerate(moves):
        if move == "step":
            engine.step()
        elif move == "cancel" and asked:
            asked[-1][1].cancel()
        elif isinstance(move, tuple):
            number, priority = move
            asked.append((number, engine.submit(model_request(number, f"{place}", priority))))
    while engine.step():
        pass
    for number, handle in asked:
        ids = ids_of(handle)
        assert ids == single_ids[number][: len(ids)]
        assert handle.ending is Ending.CANCELLED or ids == single_ids[number]
