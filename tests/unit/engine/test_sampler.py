from typing import Any

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as hf

from eureka.engine.request import check_sampling
from eureka.engine.sampler import Sampler, draw, keep_top_k, keep_top_p, penalise_repetition, softmax
from eureka.errors import InvalidInputError
from eureka.types import SamplingParams

VOCAB = 97
GREEDY = SamplingParams(repetition_penalty=1.0)


def make_logits(seed: int, rows: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=4, size=(rows, VOCAB)).astype(np.float32)


def slow_penalty(logits: np.ndarray, ids: list[int], penalty: float) -> np.ndarray:
    """The rule of eureka-audio section 7, one id at a time."""
    scores = logits.copy()
    for i in set(ids):
        scores[i] = scores[i] / np.float32(penalty) if scores[i] > 0 else scores[i] * np.float32(penalty)
    return scores


def slow_top_p(logits: np.ndarray, top_p: float) -> np.ndarray:
    """Keep the likeliest ids until their probability reaches top_p."""
    probabilities = softmax(logits)
    kept, total = [], 0.0
    for i in np.argsort(-logits, kind="stable"):
        kept.append(i)
        total += probabilities[i]
        if total >= top_p:
            break
    scores = np.full_like(logits, -np.inf)
    scores[kept] = logits[kept]
    return scores


@pytest.mark.parametrize("seed", range(5))
def test_repetition_penalty_equals_slow_rule_and_transformers(seed: int) -> None:
    logits = make_logits(seed)[0]
    ids = np.random.default_rng(seed).integers(0, VOCAB, 30).tolist()
    seen = np.zeros(VOCAB, dtype=bool)
    seen[ids] = True
    ours = penalise_repetition(logits, seen, 1.05)
    theirs = hf.RepetitionPenaltyLogitsProcessor(1.05)(torch.tensor([ids]), torch.tensor(logits[None].copy()))
    np.testing.assert_array_equal(ours, slow_penalty(logits, ids, 1.05))
    np.testing.assert_allclose(ours, theirs.numpy()[0], rtol=1e-6)


@pytest.mark.parametrize("top_k", [1, 5, VOCAB, VOCAB + 3])
def test_top_k_equals_transformers(top_k: int) -> None:
    logits = make_logits(1)[0]
    theirs = hf.TopKLogitsWarper(top_k)(None, torch.tensor(logits[None]))
    np.testing.assert_array_equal(keep_top_k(logits, top_k), theirs.numpy()[0])


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.8, 0.999])
def test_top_p_equals_slow_rule_and_transformers(top_p: float) -> None:
    logits = make_logits(2)[0]
    theirs = hf.TopPLogitsWarper(top_p)(None, torch.tensor(logits[None]))
    ours = keep_top_p(logits, top_p)
    np.testing.assert_array_equal(ours, slow_top_p(logits, top_p))
    np.testing.assert_array_equal(ours, theirs.numpy()[0])


def test_sample_greedy_takes_the_largest_after_the_penalty() -> None:
    sampler = Sampler(num_slots=2, vocab_size=4)
    sampler.admit(1, np.array([2]), SamplingParams(repetition_penalty=2.0))
    logits = np.array([[1.0, 2.0, 3.0, -1.0]], dtype=np.float32)
    assert sampler.sample([1], logits) == [1]  # 3.0 / 2 of the prompt's id loses against 2.0
    assert sampler.sample([1], logits) == [2]  # id 1 is seen now: 1.0 each, 1.5 for id 2


def test_sample_with_banned_ids_never_takes_them() -> None:
    sampler = Sampler(num_slots=1, vocab_size=3)
    sampler.admit(0, np.array([0]), SamplingParams(repetition_penalty=1.0, ban_token_ids=(2, 1)))
    assert sampler.sample([0], np.array([[0.0, 1.0, 2.0]], dtype=np.float32)) == [0]


def test_sample_in_a_batch_equals_sample_alone() -> None:
    params = [
        SamplingParams(temperature=0.7, top_k=20, top_p=0.8, seed=3),
        GREEDY,
        SamplingParams(temperature=1.3, seed=4),
    ]
    prompts = [np.array([1, 2, 3]), np.array([4]), np.array([5, 6])]
    together = Sampler(3, VOCAB)
    for slot, (prompt, each) in enumerate(zip(prompts, params, strict=True)):
        together.admit(slot, prompt, each)
    batched = [together.sample([0, 1, 2], make_logits(step, 3)) for step in range(20)]
    for slot, (prompt, each) in enumerate(zip(prompts, params, strict=True)):
        alone = Sampler(1, VOCAB)
        alone.admit(0, prompt, each)
        ids = [alone.sample([0], make_logits(step, 3)[slot : slot + 1])[0] for step in range(20)]
        assert ids == [row[slot] for row in batched]


def test_sample_frequencies_follow_the_filtered_distribution() -> None:
    sampler = Sampler(1, VOCAB)
    params = SamplingParams(temperature=0.7, top_k=6, top_p=0.9, repetition_penalty=1.0, seed=11)
    sampler.admit(0, np.array([0]), params)
    logits = make_logits(3) / 4
    expected = softmax(slow_top_p(keep_top_k(logits[0] / np.float32(0.7), 6), 0.9))
    counts = np.bincount([sampler.sample([0], logits)[0] for _ in range(4000)], minlength=VOCAB)
    np.testing.assert_allclose(counts / 4000, expected, atol=0.03)
    assert not counts[expected == 0].any()


def test_admit_to_a_used_slot_forgets_its_past() -> None:
    sampler = Sampler(1, 3)
    logits = np.array([[2.0, 1.5, 0.0]], dtype=np.float32)
    sampler.admit(0, np.array([0]), SamplingParams(repetition_penalty=2.0))
    assert sampler.sample([0], logits) == [1]
    sampler.release(0)
    sampler.admit(0, np.array([2]), SamplingParams(repetition_penalty=2.0))
    assert sampler.sample([0], logits) == [0]


class EdgeGenerator:
    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.mark.parametrize("value", [0.0, 1 - 2**-53])
def test_draw_at_the_edges_takes_a_possible_id(value: float) -> None:
    probabilities = np.array([0.0, 0.5, 0.5, 0.0])
    assert probabilities[draw(probabilities, EdgeGenerator(value))] > 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        {"max_new_tokens": 0},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"repetition_penalty": 0.0},
        {"seed": -1},
        {"top_logprobs": -1},
        {"top_logprobs": 21},
        {"stop": ("x",) * 9},
        {"stop": ("",)},
        {"stop": ("x", "y" * 65)},
    ],
)
def test_check_sampling_out_of_range_names_the_field(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(bad))):
        check_sampling(SamplingParams(**bad))


def test_check_sampling_bounds_themselves_pass() -> None:
    check_sampling(SamplingParams(stop=("x", "y" * 64, *"abcdef"), top_logprobs=20))


def test_sampler_request_without_penalty_takes_the_checkpoints_own() -> None:
    logits = np.array([[1.0, 1.04]], np.float32)
    for own, chosen in ((1.05, 0), (1.0, 1)):
        sampler = Sampler(1, 2, repetition_penalty=own)
        sampler.admit(0, np.array([1]), SamplingParams())
        assert sampler.sample([0], logits) == [chosen]
