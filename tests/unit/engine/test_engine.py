from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eureka.engine.backend import Prefill
from eureka.engine.batch import generate_all
from eureka.engine.engine import Engine, EngineLimits
from eureka.engine.handle import RequestHandle
from eureka.engine.reference import ReferenceBackend
from eureka.engine.repetition import RepetitionRule
from eureka.engine.request import Delta, Floats, Label, Request
from eureka.errors import (
    AlreadyExistsError,
    CancelledError,
    EurekaError,
    InvalidInputError,
    PromptTooLongError,
    QueueFullError,
)
from eureka.model.eureka_audio import EurekaAudio
from eureka.types import Ending
from tests.helpers.requests import END_TOKEN, ManualClock, make_request


def build_engine(
    model: EurekaAudio, num_slots: int = 3, end_token_id: int = END_TOKEN, **limits: int
) -> Engine:
    backend = ReferenceBackend(model.backbone, num_slots, context_tokens=64)
    return Engine(backend, end_token_id, ManualClock(), EngineLimits(**limits))  # type: ignore[arg-type]


def ids_of(deltas: Sequence[Delta]) -> list[int]:
    return [token_id for delta in deltas for token_id in delta.token_ids]


def run_alone(model: EurekaAudio, request: Request) -> list[int]:
    return ids_of(list(build_engine(model, num_slots=1).submit(request)))


def endings_of(handle: RequestHandle) -> list[Ending]:
    return [delta.ending for delta in handle if delta.ending is not None]


MIXED = [
    make_request(0),
    make_request(1, length=9, num_audio=3, temperature=0.9, top_k=30, seed=5),
    make_request(2, length=31, max_new_tokens=20),
    make_request(3, length=12, temperature=0.7, top_p=0.8, seed=6, max_new_tokens=3),
    make_request(4, length=26, num_audio=0, repetition_penalty=1.0),
    make_request(5, length=14, max_new_tokens=1),
    make_request(6, length=14),
]


def test_batched_requests_give_the_ids_of_single_ones(model: EurekaAudio) -> None:
    engine = build_engine(model)
    handles = [engine.submit(request) for request in MIXED]
    assert [ids_of(list(handle)) for handle in handles] == [run_alone(model, request) for request in MIXED]


def test_generate_all_gives_every_request_once(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=2, max_waiting=2)
    results = {each.request_id: each for each in generate_all(engine, iter(MIXED))}
    assert len(results) == len(MIXED)
    for request in MIXED:
        assert list(results[request.request_id].token_ids) == run_alone(model, request)
        assert results[request.request_id].ending is Ending.LENGTH


def test_same_seed_gives_same_ids_and_other_seed_others(model: EurekaAudio) -> None:
    request = make_request(1, temperature=1.5, seed=1)
    other = replace(request, sampling=replace(request.sampling, seed=2))
    assert run_alone(model, request) == run_alone(model, request) != run_alone(model, other)


def test_end_token_ends_with_stop_and_is_not_given(model: EurekaAudio) -> None:
    request = make_request(0)
    free = run_alone(model, request)
    engine = build_engine(model, end_token_id=free[4])
    deltas = list(engine.submit(request))
    assert ids_of(deltas) == free[:4]
    assert [d.ending for d in deltas] == [None] * 4 + [Ending.STOP]
    usage = deltas[-1].usage
    assert usage is not None and (usage.prompt_tokens, usage.generated_tokens) == (20, 4)


class StopAfter:
    """A stop condition that is met by the n-th token."""

    def __init__(self, num_tokens: int) -> None:
        self.num_left = num_tokens

    def push(self, token_id: int) -> bool:
        self.num_left -= 1
        return self.num_left == 0


@pytest.mark.parametrize("num_tokens", [1, 5, 12])
def test_stop_condition_ends_with_stop_behind_the_token_that_meets_it(
    model: EurekaAudio, num_tokens: int
) -> None:
    request = make_request(0)
    deltas = list(build_engine(model).submit(replace(request, stop=StopAfter(num_tokens))))
    assert ids_of(deltas) == run_alone(model, request)[:num_tokens]
    usage = deltas[-1].usage
    assert deltas[-1].ending is Ending.STOP and deltas[-1].token_ids
    assert usage is not None and usage.generated_tokens == num_tokens


def test_stop_condition_that_is_not_met_changes_nothing(model: EurekaAudio) -> None:
    deltas = list(build_engine(model).submit(replace(make_request(0), stop=StopAfter(99))))
    assert ids_of(deltas) == run_alone(model, make_request(0)) and deltas[-1].ending is Ending.LENGTH


def test_length_ends_with_exactly_the_tokens_asked_for(model: EurekaAudio) -> None:
    deltas = list(build_engine(model).submit(make_request(0, max_new_tokens=7)))
    assert len(ids_of(deltas)) == 7 and deltas[-1].ending is Ending.LENGTH


def test_loop_ends_with_repetition(model: EurekaAudio) -> None:
    backend = ReferenceBackend(model.backbone, 1, 64)
    limits = EngineLimits(repetition=RepetitionRule(max_period=4, min_repeats=3, min_tokens=6))
    engine = Engine(backend, END_TOKEN, ManualClock(), limits)
    banned = tuple(range(12, 640)) + tuple(range(10))  # leaves two ids to choose from
    request = make_request(0, max_new_tokens=40, repetition_penalty=1.0, ban_token_ids=banned)
    deltas = list(engine.submit(request))
    assert deltas[-1].ending is Ending.REPETITION and len(ids_of(deltas)) < 40


def test_cancel_while_running_frees_the_slot_within_one_step(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=1)
    handle = engine.submit(make_request(0))
    engine.step()
    assert engine.stats().num_running == 1
    assert handle.cancel()
    engine.step()
    assert engine.stats().num_running == 0
    assert endings_of(handle) == [Ending.CANCELLED]
    assert not handle.cancel() and not engine.cancel("never seen")


def test_cancel_while_waiting_ends_at_once(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=1)
    handle = engine.submit(make_request(0))
    assert engine.cancel("request-0")
    assert endings_of(handle) == [Ending.CANCELLED]
    assert engine.stats().num_waiting == 0 and not engine.step()


def test_cancel_of_one_leaves_its_mates_unchanged(model: EurekaAudio) -> None:
    engine = build_engine(model)
    handles = [engine.submit(request) for request in MIXED[:3]]
    engine.step()
    handles[1].cancel()
    assert ids_of(list(handles[0])) == run_alone(model, MIXED[0])
    assert ids_of(list(handles[2])) == run_alone(model, MIXED[2])


def test_deadline_while_running_and_while_waiting_ends_with_deadline(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=1)
    clock = engine.clock
    assert isinstance(clock, ManualClock)
    running = engine.submit(make_request(0, deadline=2.0))
    waiting = engine.submit(make_request(1, deadline=2.0))
    untouched = engine.submit(make_request(2))
    engine.step()
    clock.seconds = 2.0
    engine.step()
    assert endings_of(running) == [Ending.DEADLINE]
    assert endings_of(waiting) == [Ending.DEADLINE]
    assert ids_of(list(untouched)) == run_alone(model, make_request(2))


def test_full_queue_refuses_and_says_so(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=1, max_waiting=2)
    handles = [engine.submit(make_request(seed)) for seed in (0, 1)]
    with pytest.raises(QueueFullError, match="2 requests wait") as caught:
        engine.submit(make_request(2))
    assert caught.value.is_retryable
    engine.step()  # one moves into the slot
    handles.append(engine.submit(make_request(2)))
    assert [endings_of(handle) for handle in handles] == [[Ending.LENGTH]] * 3


def test_higher_priority_goes_first_and_equal_ones_in_order(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=1)
    ended: list[str] = []
    requests = [make_request(seed, priority=p, max_new_tokens=2) for seed, p in enumerate((0, 0, 5))]
    handles = [engine.submit(request) for request in requests]
    while engine.step():
        ended += [h.request_id for h in handles if h.ending and h.request_id not in ended]
    assert ended == ["request-2", "request-0", "request-1"]


def test_prompt_too_long_names_the_context(model: EurekaAudio) -> None:
    engine = build_engine(model)
    engine.submit(make_request(0, length=52, max_new_tokens=12))
    with pytest.raises(PromptTooLongError, match="context of 64"):
        engine.submit(make_request(1, length=53, max_new_tokens=12))


def bad_requests() -> dict[str, Request]:
    good = make_request(0)
    empty = np.zeros(0, dtype=np.int64)
    nan = good.audio_embeddings.copy()
    nan[0, 0] = np.nan
    return {
        "empty prompt": make_request(0, length=0, num_audio=0),
        "types of another length": replace(good, token_type_ids=empty),
        "id beyond the vocabulary": replace(good, prompt_ids=good.prompt_ids + 640),
        "negative id": replace(good, prompt_ids=good.prompt_ids - 640),
        "too few audio rows": replace(good, audio_embeddings=good.audio_embeddings[:-1]),
        "no audio rows": replace(good, audio_embeddings=np.zeros((0, 0), dtype=np.float32)),
        "too narrow": replace(good, audio_embeddings=good.audio_embeddings[:, :-1]),
        "not a number": replace(good, audio_embeddings=nan),
        "sampling": make_request(0, max_new_tokens=0),
        "ban beyond the vocabulary": make_request(0, ban_token_ids=(5, 640)),
        "negative ban": make_request(0, ban_token_ids=(-1,)),
    }


@pytest.mark.parametrize("name", bad_requests())
def test_bad_request_is_refused_at_submit(model: EurekaAudio, name: str) -> None:
    engine = build_engine(model)
    with pytest.raises(InvalidInputError):
        engine.submit(bad_requests()[name])
    assert not engine.step()


def test_request_id_in_use_is_refused_until_it_ends(model: EurekaAudio) -> None:
    engine = build_engine(model)
    handle = engine.submit(make_request(0))
    with pytest.raises(AlreadyExistsError):
        engine.submit(make_request(0))
    list(handle)
    assert endings_of(engine.submit(make_request(0))) == [Ending.LENGTH]


class BreakingBackend(ReferenceBackend):
    """Fails, or gives no numbers, while told to."""

    fails_at: str | None = None

    def prefill(self, prefills: Sequence[Prefill]) -> Floats:
        if self.fails_at == "prefill":
            raise RuntimeError("prefill broke")
        return super().prefill(prefills)

    def decode(self, slots: Sequence[int], token_ids: Sequence[int]) -> Floats:
        if self.fails_at == "decode":
            raise RuntimeError("decode broke")
        logits = super().decode(slots, token_ids)
        if self.fails_at == "numbers":
            logits[0] = np.nan
        if self.fails_at == "infinity":
            logits[0, 3] = np.inf
        return logits


@pytest.mark.parametrize("fails_at", ["prefill", "decode", "numbers", "infinity"])
def test_broken_backend_ends_its_batch_with_error_and_serves_the_next(
    model: EurekaAudio, fails_at: str
) -> None:
    backend = BreakingBackend(model.backbone, 2, 64)
    engine = Engine(backend, END_TOKEN, ManualClock())
    backend.fails_at = fails_at
    handles = [engine.submit(make_request(seed)) for seed in (0, 1)]
    engine.step()
    mate = handles[1]
    assert endings_of(handles[0]) == [Ending.ERROR]
    backend.fails_at = None
    assert endings_of(mate) == ([Ending.ERROR] if fails_at in ("prefill", "decode") else [Ending.LENGTH])
    assert ids_of(list(engine.submit(make_request(3)))) == run_alone(model, make_request(3))


def test_end_all_ends_running_and_waiting_once(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=1)
    handles = [engine.submit(make_request(seed)) for seed in (0, 1)]
    engine.step()
    engine.end_all(Ending.CANCELLED)
    assert [endings_of(handle) for handle in handles] == [[Ending.CANCELLED]] * 2
    assert not engine.step()


def test_stats_count_what_happened(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=2)
    for seed in range(3):
        engine.submit(make_request(seed, max_new_tokens=4))
    engine.step()
    stats = engine.stats()
    assert (stats.num_running, stats.num_waiting, stats.num_slots) == (2, 1, 2)
    while engine.step():
        pass
    stats = engine.stats()
    assert (stats.prefilled_tokens, stats.generated_tokens) == (60, 12)
    assert stats.endings == {Ending.LENGTH: 3}


LABELS = (Label("a", (7, 8)), Label("b", (9,)), Label("c", (7,)))


def test_score_shares_slots_with_generation(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=1)
    handle = engine.submit(make_request(0))
    scores = engine.score(make_request(1), LABELS)
    assert scores.names == ("a", "b", "c")
    assert scores == replace(build_engine(model).score(make_request(1), LABELS), usage=scores.usage)
    assert ids_of(list(handle)) == run_alone(model, make_request(0))


def test_score_cancelled_or_late_raises_with_its_reason(model: EurekaAudio) -> None:
    engine = build_engine(model, num_slots=1)
    handle = engine.submit_score(make_request(0), LABELS)
    handle.cancel()
    with pytest.raises(CancelledError) as caught:
        handle.wait_for_scores()
    assert caught.value.reason == "CANCELLED"
    with pytest.raises(CancelledError) as caught:
        engine.score(make_request(0, deadline=0.0), LABELS)
    assert caught.value.reason == "DEADLINE_EXCEEDED"


def test_score_on_a_broken_backend_raises(model: EurekaAudio) -> None:
    backend = BreakingBackend(model.backbone, 1, 64)
    backend.fails_at = "prefill"
    with pytest.raises(EurekaError, match="scoring failed"):
        Engine(backend, END_TOKEN).score(make_request(0), LABELS)


def test_score_of_labels_beyond_the_context_is_refused(model: EurekaAudio) -> None:
    with pytest.raises(PromptTooLongError):
        build_engine(model).score(make_request(0, length=62), LABELS)


events = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 6)),
        st.tuples(st.just("score"), st.integers(0, 6)),
        st.tuples(st.just("cancel"), st.integers(0, 6)),
        st.tuples(st.just("late"), st.integers(0, 6)),
        st.tuples(st.just("step"), st.just(0)),
    ),
    max_size=14,
)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(events=events)
def test_any_order_of_arrivals_and_cancels_ends_each_once(
    model: EurekaAudio, single_ids: dict[int, list[int]], events: list[tuple[str, int]]
) -> None:
    engine = build_engine(model, num_slots=2, max_waiting=3)
    clock = engine.clock
    assert isinstance(clock, ManualClock)
    accepted: list[tuple[int, RequestHandle]] = []
    for number, (event, which) in enumerate(events):
        clock.seconds += 1
        if event == "step":
            engine.step()
        elif event == "cancel":
            for seed, handle in accepted:
                if seed == which:
                    handle.cancel()
        else:
            deadline = clock.seconds + 2 if event == "late" else None
            request = make_request(which, request_id=f"{number}", deadline=deadline, max_new_tokens=5)
            try:
                if event == "score":
                    accepted.append((which, engine.submit_score(request, LABELS)))
                else:
                    accepted.append((which, engine.submit(request)))
            except QueueFullError:
                assert engine.stats().num_waiting == 3
    while engine.step():
        clock.seconds += 1
    for seed, handle in accepted:
        deltas = list(iter(handle.take, None))
        assert [d.ending for d in deltas if d.ending] == [deltas[-1].ending]
        ids = ids_of(deltas)
        assert ids == single_ids[seed][: len(ids)]
        if deltas[-1].ending is Ending.LENGTH:
            assert ids == single_ids[seed]
    stats = engine.stats()
    assert (stats.num_running, stats.num_waiting) == (0, 0)
    assert sum(stats.endings.values()) == len(accepted)


@pytest.fixture(scope="module")
def single_ids(model: EurekaAudio) -> dict[int, list[int]]:
    return {seed: run_alone(model, make_request(seed, max_new_tokens=5)) for seed in range(7)}
