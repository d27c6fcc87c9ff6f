"""The GPU backend in float32 against the reference: without graphs, or with them where there is a GPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from eureka.engine.backend import ChoosingBackend, Prefill, StepChoice
from eureka.engine.cuda.backend import CudaBackend
from eureka.engine.cuda.paged_cache import PAGE_TOKENS
from eureka.engine.cuda.runner import buckets_for
from eureka.engine.cuda.weights import weights_of
from eureka.engine.engine import Engine
from eureka.engine.limits import EngineLimits
from eureka.engine.logit_rules import keep_top_k, penalise_repetition
from eureka.engine.reference import ReferenceBackend
from eureka.model.decoder import Decoder
from tests.helpers.requests import END_TOKEN, ManualClock, make_request
from tests.helpers.tiny_model import tiny_model

V, W, CONTEXT = 640, 64, 200
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "separate"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    shape = {
        "vocab_size": V,
        "hidden_size": W,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "tie_word_embeddings": request.param,
    }
    return tiny_model(backbone=shape).backbone


def both(decoder: Decoder, num_slots: int = 12) -> tuple[CudaBackend, ReferenceBackend]:
    theirs = ReferenceBackend(decoder, num_slots, CONTEXT)
    weights = weights_of(decoder, CONTEXT)
    if DEVICE == "cuda":
        weights = weights_of(tiny_copy(decoder).to(DEVICE), CONTEXT)
    return CudaBackend(weights, num_slots, CONTEXT), theirs


def tiny_copy(decoder: Decoder) -> Decoder:
    copy = Decoder(decoder.config)
    copy.load_state_dict(decoder.state_dict())
    return copy


def near(ours: np.ndarray, theirs: np.ndarray) -> bool:
    bound = 1e-5 if DEVICE == "cpu" else 1e-4  # other libraries, other orders of adding up
    return bool(np.abs(ours - theirs).max() <= bound * np.abs(theirs).max())


def prompt(slot: int, length: int, seed: int) -> Prefill:
    rng = np.random.default_rng(seed)
    positions = np.arange(1, min(3, length))
    audio = rng.standard_normal((len(positions), W)).astype(np.float32)
    return Prefill(slot, rng.integers(0, V, length), positions, audio)


def rest(whole: Prefill, start: int) -> Prefill:
    return Prefill(
        whole.slot, whole.prompt_ids[start:], np.zeros(0, int), np.zeros((0, W), np.float32), start
    )


def greedy(count: int, penalty: float = 1.0, seen: np.ndarray | None = None) -> StepChoice:
    return StepChoice(0.0, 0, (0.0,) * count, penalty, seen)


def test_prefill_and_decode_are_those_of_the_reference(decoder: Decoder) -> None:
    ours, theirs = both(decoder)
    prompts = [prompt(0, 5, 1), prompt(1, 3 * PAGE_TOKENS, 2), prompt(9, 1, 3)]
    assert near(ours.prefill(prompts), theirs.prefill(prompts))
    rng = np.random.default_rng(4)
    for slots in ([0, 1, 9], [9, 1], [1], [9, 0, 1], [0]):
        ids = rng.integers(0, V, len(slots)).tolist()
        assert near(ours.decode(slots, ids), theirs.decode(slots, ids)), slots


def test_chunks_beside_others_are_those_of_the_reference(decoder: Decoder) -> None:
    ours, theirs = both(decoder)
    whole, other = prompt(3, 70, 5), prompt(4, 9, 6)
    expected = theirs.prefill([whole])
    ours.prefill([replace(whole, prompt_ids=whole.prompt_ids[:40])])
    assert near(ours.prefill([other, rest(whole, 40)])[1:], expected)
    assert near(ours.decode([3], [7]), theirs.decode([3], [7]))


def test_saved_prefix_is_independent_of_its_slot(decoder: Decoder) -> None:
    ours, _ = both(decoder)
    whole = prompt(0, 70, 6)
    expected = ours.prefill([whole])
    saved = ours.save_prefix(0, 37)
    assert saved.num_tokens == 37
    assert saved.num_bytes == 37 * 2 * 2 * 2 * 32 * 4  # layers, keys and values, kv heads, head width
    ours.release(0)
    ours.prefill([prompt(0, 70, 7)])
    for slot in (3, 4):
        ours.load_prefix(slot, saved)
        assert near(ours.prefill([rest(replace(whole, slot=slot), 37)]), expected)


def test_continuations_are_scored_as_by_the_reference(decoder: Decoder) -> None:
    ours, theirs = both(decoder)
    for backend in (ours, theirs):
        backend.prefill([prompt(2, 9, 8)])
    rng = np.random.default_rng(9)
    continuations = [rng.integers(0, V, size).tolist() for size in [1, 4, 2, 7] * 6]
    scores = ours.continuation_log_probabilities(2, continuations)
    expected = theirs.continuation_log_probabilities(2, continuations)
    assert [len(row) for row in scores] == [len(ids) - 1 for ids in continuations]
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(scores, expected, strict=True))
    assert near(ours.decode([2], [3]), theirs.decode([2], [3]))  # the slot is as before


def test_greedy_steps_are_single_ones_and_stop(decoder: Decoder) -> None:
    ours, theirs = both(decoder)
    assert isinstance(ours, ChoosingBackend)
    for backend in (ours, theirs):
        backend.prefill([prompt(0, 5, 1), prompt(4, 20, 2)])
    expected: list[list[int]] = [[], []]
    ids = [3, 8]
    for _ in range(10):
        ids = theirs.decode([0, 4], ids).argmax(-1).tolist()
        for row, token_id in zip(expected, ids, strict=True):
            row.append(token_id)
    assert ours.decode_steps([0, 4], [3, 8], [greedy(10)] * 2, V) == expected
    end = expected[0][4]
    first, second = ours.decode_steps([0, 4], [3, 8], [greedy(10)] * 2, end)
    assert first == expected[0][: expected[0].index(end) + 1]
    assert second == (expected[1][: expected[1].index(end) + 1] if end in expected[1] else expected[1])
    ours.keep_steps(0, 2)  # token 3 and the first that followed
    assert int(ours.decode([0], [expected[0][1]])[0].argmax()) == expected[0][2]


def test_penalty_looks_at_what_was_told_and_chosen(decoder: Decoder) -> None:
    ours, theirs = both(decoder)
    for backend in (ours, theirs):
        backend.prefill([prompt(0, 5, 1)])
    seen, last, expected = [3, 11], 3, []
    for _ in range(6):
        logits = theirs.decode([0], [last])[0]
        logits[seen] = penalise_repetition(logits[seen], 1.8)
        last = int(logits.argmax())
        seen.append(last)
        expected.append(last)
    told = np.array([3, 11])
    assert ours.decode_steps([0], [3], [greedy(6, 1.8, told)], V) == [expected]
    ours.keep_steps(0, 3)  # what was chosen behind it has not been seen
    told = np.array([3, 11, *expected[:3]])
    assert ours.decode_steps([0], [expected[2]], [greedy(3, 1.8, told)], V) == [expected[3:]]


def test_drawn_steps_follow_temperature_top_k_and_penalty(decoder: Decoder) -> None:
    ours, theirs = both(decoder)
    for backend in (ours, theirs):
        backend.prefill([prompt(0, 5, 1), prompt(1, 6, 2)])
    logits = theirs.decode([0], [3])[0]
    told = np.array([int(logits.argmax())])
    logits[told] = penalise_repetition(logits[told], 1.5)
    for top_k in (0, 5):
        kept = logits if top_k == 0 else keep_top_k(logits, top_k)
        weights = np.exp((kept - kept.max()).astype(np.float64) / 0.7)
        cumulative = np.cumsum(weights)
        for draw in (0.0, 0.2, 0.5, 0.8, 0.999):
            choices = [StepChoice(0.7, top_k, (draw,), 1.5, told), greedy(1)]
            drawn = ours.decode_steps([0, 1], [3, 3], choices, V)
            assert drawn[0] == [int(np.searchsorted(cumulative, draw * cumulative[-1], side="right"))]
            ours.keep_steps(0, 0)


def test_row_of_no_numbers_ends(decoder: Decoder) -> None:
    ours, _ = both(decoder)
    broken = prompt(0, 5, 1)
    broken = replace(broken, audio_embeddings=np.full_like(broken.audio_embeddings, np.nan))
    ours.prefill([broken, prompt(1, 5, 2)])
    assert [len(ids) for ids in ours.decode_steps([0, 1], [3, 3], [greedy(4)] * 2, V)] == [0, 4]


def test_pages_are_shared_and_given_back(decoder: Decoder) -> None:
    weights = weights_of(tiny_copy(decoder).to(DEVICE), CONTEXT)
    ours = CudaBackend(weights, 2, CONTEXT, cache_tokens=4 * PAGE_TOKENS)
    ours.prefill([prompt(0, 5 * PAGE_TOKENS, 1)])
    with pytest.raises(MemoryError, match="1 are free"):
        ours.prefill([prompt(1, 3 * PAGE_TOKENS, 2)])
    ours.release(0)
    ours.prefill([prompt(1, 3 * PAGE_TOKENS, 2)])


def test_weights_of_8_bits_choose_nearly_the_same(decoder: Decoder) -> None:
    weights = weights_of(tiny_copy(decoder).to(DEVICE), CONTEXT, "int8")
    ours, theirs = CudaBackend(weights, 2, CONTEXT), ReferenceBackend(decoder, 2, CONTEXT)
    assert weights.step_bytes < weights_of(decoder, CONTEXT).step_bytes
    for backend in (ours, theirs):
        backend.prefill([prompt(0, 30, 1)])
    found, expected = ours.decode([0], [3]), theirs.decode([0], [3])
    assert np.abs(found - expected).max() <= 0.05 * np.abs(expected).max()


PLAIN = [
    {"repetition_penalty": 1.0},
    {"repetition_penalty": 1.3, "max_new_tokens": 20},
    {"temperature": 0.8, "top_k": 20, "seed": 5},
    {"temperature": 0.8, "seed": 7},
]


class Counting(CudaBackend):
    """Notes the rows of each call."""

    chosen_rows: set[int]
    fetched_rows: set[int]

    def decode_steps(self, slots, token_ids, choices, end_token_id):  # type: ignore[no-untyped-def]
        self.chosen_rows.add(len(slots))
        return super().decode_steps(slots, token_ids, choices, end_token_id)

    def decode(self, slots, token_ids):  # type: ignore[no-untyped-def]
        self.fetched_rows.add(len(slots))
        return super().decode(slots, token_ids)


def test_logits_are_fetched_only_of_who_needs_them(decoder: Decoder) -> None:
    backend = Counting(weights_of(decoder, CONTEXT), 4, CONTEXT)
    backend.chosen_rows, backend.fetched_rows = set(), set()
    engine = Engine(backend, END_TOKEN, ManualClock(), EngineLimits())
    asked = [{}, {"temperature": 0.8, "top_p": 0.9, "seed": 6}, {"repetition_penalty": 1.2}]
    handles = [engine.submit(make_request(number, **one)) for number, one in enumerate(asked)]
    assert all(sum(len(delta.token_ids) for delta in handle) == 12 for handle in handles)
    assert backend.chosen_rows == {2}
    assert backend.fetched_rows == {1}


@pytest.mark.parametrize("more", [{}, {"temperature": 0.8, "top_p": 0.9, "seed": 6}])
def test_engine_answers_alike_whoever_chooses(decoder: Decoder, more: dict[str, float]) -> None:
    """On the device, but where a request of the batch asks for what only the sampler knows."""
    answers = []
    for backend in both(decoder, 5):
        engine = Engine(backend, END_TOKEN, ManualClock(), EngineLimits())
        asked = [*PLAIN, more] if more else PLAIN
        handles = [engine.submit(make_request(number, **one)) for number, one in enumerate(asked)]
        answers.append([[i for delta in handle for i in delta.token_ids] for handle in handles])
    assert answers[0] == answers[1]
    assert len(set(map(tuple, answers[0]))) == len(answers[0])


def test_buckets_hold_every_batch() -> None:
    assert buckets_for(1) == (1,)
    assert buckets_for(5) == (1, 2, 4, 8)
    assert buckets_for(33) == (1, 2, 4, 8, 16, 24, 32, 48)
    assert buckets_for(300)[-2:] == (256, 320)
    assert buckets_for(5, is_padded=True) == (8,)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
def test_graphs_repeat_the_step(decoder: Decoder) -> None:
    ours, theirs = both(decoder, 4)
    ours.prepare()
    prompts = [prompt(slot, 9, slot) for slot in range(3)]
    assert near(ours.prefill(prompts), theirs.prefill(prompts))
    for slots in ([0], [2, 1], [0, 1, 2]):
        assert near(ours.decode(slots, [5] * len(slots)), theirs.decode(slots, [5] * len(slots)))
