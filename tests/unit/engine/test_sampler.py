from typing import Any

import numpy as np
import pytest

from eureka.engine.logit_rules import keep_top_k, keep_top_p, softmax
from eureka.engine.request import check_sampling
from eureka.engine.sampler import NOTHING_ALLOWED, Sampler
from eureka.errors import InvalidInputError
from eureka.types import SamplingParams

VOCAB = 97
GREEDY = SamplingParams(repetition_penalty=1.0)


def make_logits(seed: int, rows: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=4, size=(rows, VOCAB)).astype(np.float32)


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


def test_sample_with_nothing_left_says_so_and_spares_the_others() -> None:
    sampler = Sampler(num_slots=3, vocab_size=3)
    for slot, params in enumerate(
        [SamplingParams(ban_token_ids=(1,)), GREEDY, SamplingParams(temperature=1.0)]
    ):
        sampler.admit(slot, np.array([0]), params)
    logits = np.tile(np.array([0.0, 1.0, 2.0], dtype=np.float32), (3, 1))
    masks = [np.array([False, True]), None, np.zeros(3, dtype=bool)]
    assert sampler.sample([0, 1, 2], logits, masks) == [NOTHING_ALLOWED, 2, NOTHING_ALLOWED]
    assert sampler.sample([0, 1, 2], logits)[:2] == [2, 2]


@pytest.mark.parametrize("temperature", [0.0, 5.0])
def test_sample_under_a_mask_takes_allowed_ids_only_whatever_its_width(temperature: float) -> None:
    sampler = Sampler(num_slots=1, vocab_size=4)
    sampler.admit(0, np.array([0]), SamplingParams(temperature=temperature, repetition_penalty=1.0))
    logits = np.array([[0.0, 1.0, 2.0, 3.0]], dtype=np.float32)
    for mask in ([True, True], [True, True, False, False], [True, True, False, False, True]):
        chosen = {sampler.sample([0], logits, [np.array(mask)])[0] for _ in range(30)}
        assert chosen == ({1} if temperature == 0 else {0, 1})
    assert logits.tolist() == [[0.0, 1.0, 2.0, 3.0]]


@pytest.mark.parametrize("temperature", [1e-300, 1e-44, 1e-15, 1e15, 1e39, 1e300])
@pytest.mark.parametrize("penalty", [1e-300, 1e-15, 1.0, 1e39])
def test_sample_at_extremes_takes_allowed_ids_only(temperature: float, penalty: float) -> None:
    sampler = Sampler(num_slots=1, vocab_size=VOCAB)
    mask = np.arange(VOCAB) == 3
    mask[[7, 9]] = True
    params = SamplingParams(temperature=temperature, repetition_penalty=penalty, ban_token_ids=(9,))
    sampler.admit(0, np.array([3]), params)
    for seed in range(20):
        logits = make_logits(seed)
        logits[0, 3] = 0
        assert sampler.sample([0], logits, [mask])[0] in (3, 7)


def test_sample_with_presence_and_frequency_counts_generated_tokens_only() -> None:
    sampler = Sampler(num_slots=1, vocab_size=3)
    params = SamplingParams(repetition_penalty=1.0, presence_penalty=0.5, frequency_penalty=0.3)
    sampler.admit(0, np.array([2, 2, 2]), params)
    logits = np.array([[0.0, 1.0, 2.0]], dtype=np.float32)
    # 2 falls by 0.8, 1.1, 1.4: to 1.2, 0.9, so 1 is next and falls to 0.2
    assert [sampler.sample([0], logits)[0] for _ in range(4)] == [2, 2, 1, 2]


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
    expected = softmax(keep_top_p(keep_top_k(logits[0] / np.float32(0.7), 6), 0.9))
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
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"presence_penalty": 2.1},
        {"frequency_penalty": -2.1},
        {"frequency_penalty": float("nan")},
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
