"""Pauses and reused prefixes, through the engine: on plain arithmetic, and on the tiny model."""

from collections.abc import Callable

import pytest

from eureka.engine.backend import Backend, SavedPrefix
from eureka.engine.engine import Engine, EngineLimits
from eureka.engine.handle import RequestHandle
from eureka.engine.reference import ReferenceBackend
from eureka.engine.request import Delta, Label, Request
from eureka.model.eureka_audio import EurekaAudio
from eureka.types import Ending, Priority
from tests.helpers.requests import END_TOKEN, ManualClock, make_request
from tests.helpers.sum_backend import SumBackend, SumPrefix, slow_answer, small_request

BULK = {"priority": Priority.BULK, "ban_token_ids": (END_TOKEN,)}
URGENT = {"priority": Priority.INTERACTIVE, "ban_token_ids": (END_TOKEN,)}


def build_engine(num_slots: int = 1, backend: Backend | None = None, **limits: float) -> Engine:
    settings = EngineLimits(**{"max_step_prefill_tokens": 16, **limits})  # type: ignore[arg-type]
    return Engine(backend or SumBackend(num_slots), END_TOKEN, ManualClock(), settings)


def taken(handle: RequestHandle) -> list[Delta]:
    return list(iter(handle.take, None))


def ids_of(deltas: list[Delta]) -> list[int]:
    return [token_id for delta in deltas for token_id in delta.token_ids]


def finish(engine: Engine) -> None:
    while engine.step():
        pass


def step(engine: Engine, times: int) -> None:
    for _ in range(times):
        engine.step()


def test_urgent_request_pauses_a_bulk_one_which_goes_on_where_it_stood() -> None:
    engine = build_engine()
    low = small_request(0, max_new_tokens=12, temperature=1.0, seed=3, **BULK)
    high = small_request(1, **URGENT)
    bulk = engine.submit(low)
    step(engine, 4)
    urgent = engine.submit(high)
    engine.step()
    assert len(taken(urgent)) == 1
    assert (engine.stats().num_paused, engine.stats().num_running) == (1, 1)
    before = taken(bulk)
    assert len(before) == 4
    finish(engine)
    assert ids_of(before + taken(bulk)) == slow_answer(low, END_TOKEN)
    assert bulk.ending is urgent.ending is Ending.LENGTH
    assert engine.stats().num_pauses == 1


def test_paused_request_of_the_model_gives_the_ids_of_one_that_was_not(model: EurekaAudio) -> None:
    def run(urgents: int) -> tuple[list[int], int]:
        engine = build_engine(backend=ReferenceBackend(model.backbone, 1, 64))
        request = make_request(0, priority=Priority.BULK, temperature=0.9, top_k=30, seed=4)
        bulk = engine.submit(request)
        for number in range(urgents):
            step(engine, 5)
            engine.submit(make_request(10 + number, priority=Priority.INTERACTIVE, max_new_tokens=2))
        finish(engine)
        return ids_of(taken(bulk)), engine.stats().num_pauses

    assert run(3) == (run(0)[0], 3)


def test_half_prefilled_request_keeps_its_chunks_over_a_pause() -> None:
    engine = build_engine()
    low = small_request(0, length=40, **BULK)
    bulk = engine.submit(low)
    engine.step()
    engine.submit(small_request(1, **URGENT))
    finish(engine)
    assert ids_of(taken(bulk)) == slow_answer(low, END_TOKEN)
    assert engine.stats().prefilled_tokens == 40 + 12


def test_equal_or_lower_request_pauses_nobody() -> None:
    engine = build_engine()
    engine.submit(small_request(0, ban_token_ids=(END_TOKEN,)))
    engine.step()
    engine.submit(small_request(1))
    engine.submit(small_request(2, **BULK))
    finish(engine)
    assert engine.stats().num_pauses == 0


def test_lowest_and_latest_is_paused_first_and_the_earlier_goes_on_first() -> None:
    engine = build_engine(num_slots=3)
    handles = [
        engine.submit(small_request(n, max_new_tokens=20, ban_token_ids=(END_TOKEN,), priority=priority))
        for n, priority in enumerate((Priority.BULK, Priority.DEFAULT, Priority.BULK))
    ]
    step(engine, 3)
    for n in (3, 4):
        engine.submit(small_request(n, **URGENT))
        engine.step()
        for handle in handles:
            taken(handle)
        engine.step()
        moves = [bool(taken(handle)) for handle in handles]
        assert moves == ([True, True, False] if n == 3 else [False, True, False])
    while engine.stats().num_paused == 2:
        engine.step()
    for handle in handles:
        taken(handle)
    engine.step()
    assert taken(handles[0]) and not taken(handles[2])


def test_probe_pauses_nobody() -> None:
    engine = build_engine()
    engine.submit(small_request(0, **BULK))
    engine.step()
    engine.submit(small_request(1, priority=Priority.PROBE))
    finish(engine)
    assert engine.stats().num_pauses == 0


def test_pauses_beyond_their_memory_do_not_happen() -> None:
    engine = build_engine(num_slots=2, max_paused_bytes=1)
    for number in range(2):
        engine.submit(small_request(number, max_new_tokens=30, **BULK))
    step(engine, 3)
    engine.submit(small_request(2, **URGENT))
    engine.submit(small_request(3, **URGENT))
    engine.step()
    assert (engine.stats().num_paused, engine.stats().num_waiting) == (1, 1)
    finish(engine)


@pytest.mark.parametrize("length", [12, 40], ids=["decoding", "half prefilled"])
@pytest.mark.parametrize("how", [Ending.CANCELLED, Ending.DEADLINE])
def test_paused_request_that_is_cancelled_or_late_ends_once_and_without_a_slot(
    how: Ending, length: int
) -> None:
    engine = build_engine()
    bulk = engine.submit(small_request(0, length, deadline=5.0, **BULK))
    step(engine, 2)
    engine.submit(small_request(1, max_new_tokens=20, **URGENT))
    engine.step()
    assert engine.stats().num_paused == 1
    if how is Ending.CANCELLED:
        assert bulk.cancel() and not bulk.cancel()
    else:
        assert isinstance(engine.clock, ManualClock)
        engine.clock.seconds = 5.0
        engine.step()
    assert engine.stats().num_paused == 0
    deltas = taken(bulk)
    assert [delta.ending for delta in deltas if delta.ending] == [how]
    usage = deltas[-1].usage
    assert usage is not None and usage.generated_tokens == len(ids_of(deltas))
    finish(engine)
    assert isinstance(engine.backend, SumBackend) and engine.backend.num_held() == 0


def test_half_prefilled_request_that_is_cancelled_frees_its_slot_within_one_step() -> None:
    engine = build_engine()
    long = engine.submit(small_request(0, length=50))
    engine.step()
    assert engine.stats().num_prefilling == 1
    long.cancel()
    waiting = engine.submit(small_request(1))
    engine.step()
    assert long.ending is Ending.CANCELLED and taken(waiting)


def test_end_all_ends_paused_ones_too() -> None:
    engine = build_engine()
    handles = [engine.submit(small_request(0, **BULK))]
    step(engine, 2)
    handles.append(engine.submit(small_request(1, **URGENT)))
    engine.step()
    engine.end_all(Ending.CANCELLED)
    assert [handle.ending for handle in handles] == [Ending.CANCELLED] * 2
    assert not engine.step()


class BreakingBackend(SumBackend):
    """Fails to save or to load while told to."""

    fails_at: str | None = None

    def save_prefix(self, slot: int, num_tokens: int) -> SumPrefix:
        if self.fails_at == "save":
            raise RuntimeError("no memory")
        return super().save_prefix(slot, num_tokens)

    def load_prefix(self, slot: int, prefix: SavedPrefix) -> None:
        if self.fails_at == "load":
            raise RuntimeError("no memory")
        super().load_prefix(slot, prefix)


@pytest.mark.parametrize("fails_at", ["save", "load"])
def test_pause_that_fails_ends_the_paused_one_with_error_and_serves_the_urgent(fails_at: str) -> None:
    backend = BreakingBackend(1)
    engine = build_engine(backend=backend)
    bulk = engine.submit(small_request(0, **BULK))
    step(engine, 2)
    backend.fails_at = fails_at
    urgent = engine.submit(small_request(1, **URGENT))
    finish(engine)
    assert (bulk.ending, urgent.ending) == (Ending.ERROR, Ending.LENGTH)
    assert backend.num_held() == 0


def question(number: int, audio: int = 1, **changes: float) -> Request:
    return small_request(number, 20, audio=audio, num_audio=10, **changes)


def test_second_question_on_the_same_audio_prefills_only_what_follows_it() -> None:
    engine = build_engine()
    for number in range(3):
        handle = engine.submit(question(number))
        finish(engine)
        assert ids_of(taken(handle)) == slow_answer(question(number), END_TOKEN)
    stats = engine.stats()
    assert (stats.prefilled_tokens, stats.reused_tokens) == (20 + 8 + 8, 2 * 12)
    assert stats.prefix_cache_bytes == 12 * 4


def test_two_questions_at_once_prefill_their_audio_once() -> None:
    engine = build_engine(num_slots=3)
    handles = [engine.submit(question(number)) for number in range(3)]
    finish(engine)
    for number, handle in enumerate(handles):
        assert ids_of(taken(handle)) == slow_answer(question(number), END_TOKEN)
    assert engine.stats().prefilled_tokens == 20 + 8 + 8


def test_question_whose_forerunner_is_cancelled_prefills_the_audio_itself() -> None:
    engine = build_engine(num_slots=2, max_step_prefill_tokens=5)
    first, second = engine.submit(question(0)), engine.submit(question(1))
    engine.step()
    first.cancel()
    finish(engine)
    assert ids_of(taken(second)) == slow_answer(question(1), END_TOKEN)
    assert engine.stats().reused_tokens == 0


@pytest.mark.parametrize("budget", [0, 40, 64])
def test_prefix_cache_without_room_changes_no_answer(budget: int) -> None:
    engine = build_engine(num_slots=2, prefix_cache_bytes=budget)  # a prefix takes 48 bytes
    handles = [engine.submit(question(number, audio=number % 2)) for number in range(6)]
    finish(engine)
    for number, handle in enumerate(handles):
        assert ids_of(taken(handle)) == slow_answer(question(number, audio=number % 2), END_TOKEN)
    assert engine.stats().prefix_cache_bytes <= budget


@pytest.mark.parametrize("fails_at", ["save", "load"])
def test_prefix_that_cannot_be_kept_costs_nothing_and_one_that_cannot_be_loaded_its_request(
    fails_at: str,
) -> None:
    backend = BreakingBackend(1)
    engine = build_engine(backend=backend)
    backend.fails_at = fails_at
    endings = []
    for number in range(2):
        handle = engine.submit(question(number, ban_token_ids=(END_TOKEN,)))
        finish(engine)
        endings.append(handle.ending)
    assert endings == [Ending.LENGTH, Ending.LENGTH if fails_at == "save" else Ending.ERROR]
    assert backend.num_held() == 0


def test_reused_audio_of_the_model_gives_the_same_ids_and_scores(model: EurekaAudio) -> None:
    labels = [Label("a", (7, 8)), Label("b", (9,))]

    def run(again: Callable[[Engine], object]) -> tuple[list[int], tuple[float, ...]]:
        engine = build_engine(backend=ReferenceBackend(model.backbone, 2, 64))
        again(engine)
        ids = ids_of(list(engine.submit(make_request(0, length=30, num_audio=20))))
        scores = engine.score(make_request(0, length=30, num_audio=20, request_id="s"), labels)
        return ids, scores.log_probabilities

    fresh, fresh_scores = run(lambda engine: None)
    reused, reused_scores = run(
        lambda engine: list(engine.submit(make_request(0, length=30, num_audio=20, request_id="r")))
    )
    assert reused == fresh
    assert reused_scores == pytest.approx(fresh_scores, abs=1e-4)


@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "reused"])
def test_batch_invariant_engine_gives_the_same_first_logprobs_whatever_runs_beside(
    model: EurekaAudio, warm: bool
) -> None:
    def run(mates: int) -> Delta:
        backend = ReferenceBackend(model.backbone, 4, 64)
        engine = build_engine(backend=backend, batch_invariant=True, max_step_prefill_tokens=14)
        if warm:
            list(engine.submit(make_request(0, length=40, num_audio=20, request_id="r", max_new_tokens=1)))
        for number in range(mates):
            engine.submit(make_request(10 + number, length=11 + 7 * number))
        request = make_request(0, length=40, num_audio=20, max_new_tokens=1, top_logprobs=5)
        delta = next(iter(engine.submit(request)))
        assert engine.stats().reused_tokens == (21 if warm else 0)
        return delta

    alone = run(0)
    assert run(3).logprobs == alone.logprobs != ()
