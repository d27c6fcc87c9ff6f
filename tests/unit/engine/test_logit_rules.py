"""Each rule against a slow version and against transformers; properties of whole sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation import logits_process as hf

from eureka.engine import logit_rules
from eureka.engine.logit_rules import (
    SeenIds,
    TokenTally,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_counts,
    penalise_repetition,
    softmax,
)
from eureka.engine.sampler import Sampler
from eureka.types import SamplingParams

VOCAB = 97


def make_logits(seed: int, rows: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=4, size=(rows, VOCAB)).astype(np.float32)


def slow_penalty(logits: np.ndarray, ids: Sequence[int], penalty: float) -> np.ndarray:
    """The rule of eureka-audio section 7, one id at a time."""
    scores = logits.copy()
    for i in set(ids):
        scores[i] = scores[i] / np.float32(penalty) if scores[i] > 0 else scores[i] * np.float32(penalty)
    return scores


def slow_counts(logits: np.ndarray, said: Sequence[int], presence: float, frequency: float) -> np.ndarray:
    """The OpenAI API's rule: mu[j] - c[j] * frequency - (c[j] > 0) * presence."""
    scores = logits.copy()
    for i in set(said):
        scores[i] = scores[i] - np.float32(said.count(i)) * np.float32(frequency) - np.float32(presence)
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


@pytest.mark.parametrize("penalty", [1.05, 2.0, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_repetition_penalty_equals_slow_rule_and_transformers(seed: int, penalty: float) -> None:
    logits = make_logits(seed)[0]
    ids = np.random.default_rng(seed).integers(0, VOCAB, 30).tolist()
    ours, seen = logits.copy(), SeenIds(ids).ids
    ours[seen] = penalise_repetition(logits[seen], penalty)
    theirs = hf.RepetitionPenaltyLogitsProcessor(penalty)(
        torch.tensor([ids]), torch.tensor(logits[None].copy())
    )
    np.testing.assert_array_equal(ours, slow_penalty(logits, ids, penalty))
    np.testing.assert_allclose(ours, theirs.numpy()[0], rtol=1e-6)


def test_repetition_penalties_of_several_rows_are_each_its_own() -> None:
    logits = make_logits(7)[0]
    penalties = np.array([0.5, 1.0, 3.0], dtype=np.float32).repeat(10)
    expected = [penalise_repetition(logits[i : i + 1], penalties[i])[0] for i in range(30)]
    np.testing.assert_array_equal(penalise_repetition(logits[:30], penalties), expected)


def test_presence_and_frequency_equal_the_slow_rule() -> None:
    logits, tally = make_logits(4)[0], TokenTally()
    said = np.random.default_rng(4).integers(0, 40, 60).tolist()
    for token_id in said:
        tally.add(token_id)
    ours = logits.copy()
    ours[tally.ids] = penalise_counts(logits[tally.ids], tally.counts, 0.6, -0.2)
    np.testing.assert_array_equal(ours, slow_counts(logits, said, 0.6, -0.2))


@pytest.mark.parametrize("top_k", [1, 5, VOCAB, VOCAB + 3])
def test_top_k_equals_transformers(top_k: int) -> None:
    logits = make_logits(1)[0]
    theirs = hf.TopKLogitsWarper(top_k)(None, torch.tensor(logits[None]))
    np.testing.assert_array_equal(keep_top_k(logits, top_k), theirs.numpy()[0])


@pytest.mark.parametrize("sorted_whole", [4096, 0])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.8, 0.999, 1e-12])
def test_top_p_equals_slow_rule_and_transformers(
    top_p: float, sorted_whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logit_rules, "_SORTED_WHOLE", sorted_whole)
    logits = make_logits(2)[0]
    theirs = hf.TopPLogitsWarper(top_p)(None, torch.tensor(logits[None]))
    ours = keep_top_p(logits, top_p)
    np.testing.assert_array_equal(ours, slow_top_p(logits, top_p))
    np.testing.assert_array_equal(ours, theirs.numpy()[0])


def test_top_p_of_equal_logits_keeps_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logit_rules, "_SORTED_WHOLE", 0)
    assert np.isfinite(keep_top_p(np.zeros(VOCAB, dtype=np.float32), 1e-30)).sum() == 1


@pytest.mark.parametrize("min_p", [0.01, 0.3, 1.0])
def test_min_p_equals_transformers(min_p: float) -> None:
    logits = make_logits(3)[0] / 3
    theirs = hf.MinPLogitsWarper(min_p)(None, torch.tensor(logits[None]))
    np.testing.assert_array_equal(keep_min_p(logits, min_p), theirs.numpy()[0])


@pytest.mark.parametrize("seed", range(4))
def test_draws_come_from_the_distribution_of_transformers_chain(seed: int) -> None:
    """All rules in transformers' order leave the ids, and the weights, that the sampler draws from."""
    params = SamplingParams(
        temperature=0.7, top_k=20, top_p=0.9, min_p=0.05, repetition_penalty=1.3, seed=seed, max_new_tokens=9
    )
    prompt = np.random.default_rng(seed).integers(0, VOCAB, 12)
    logits = make_logits(seed) / 3
    chain = hf.LogitsProcessorList(
        [
            hf.RepetitionPenaltyLogitsProcessor(1.3),
            hf.TemperatureLogitsWarper(0.7),
            hf.TopKLogitsWarper(20),
            hf.TopPLogitsWarper(0.9),
            hf.MinPLogitsWarper(0.05),
        ]
    )
    sampler, sequence = Sampler(1, VOCAB), prompt.tolist()
    sampler.admit(0, prompt, params)
    generator = np.random.Generator(np.random.PCG64(seed))
    for _ in range(9):
        theirs = chain(torch.tensor([sequence]), torch.tensor(logits.copy())).numpy()[0]
        expected = draw(softmax(theirs), generator)
        assert sampler.sample([0], logits) == [expected]
        sequence.append(expected)


class EdgeGenerator:
    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.mark.parametrize("value", [0.0, 1 - 2**-53])
def test_draw_at_the_edges_takes_a_possible_id(value: float) -> None:
    probabilities = np.array([0.0, 0.5, 0.5, 0.0])
    assert probabilities[draw(probabilities, EdgeGenerator(value))] > 0  # type: ignore[arg-type]


# -- properties ------------------------------------------------------------------------------------

LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=40).map(
    lambda values: np.array(values, dtype=np.float32)
)
PARAMS = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_k=st.integers(0, 12),
    top_p=st.floats(0.05, 1.0),
    min_p=st.floats(0.0, 1.0),
    repetition_penalty=st.sampled_from([None, 1.0, 0.9, 1.4]),
    presence_penalty=st.sampled_from([0.0, 0.5, -0.5]),
    frequency_penalty=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**64),
    ban_token_ids=st.sampled_from([(), (3,), (0, 5)]),
)


@given(LOGITS, st.floats(0.01, 0.99), st.integers(1, 45), st.floats(0.0, 1.0))
def test_filters_keep_the_likeliest_and_nothing_below_what_they_drop(
    logits: np.ndarray, top_p: float, top_k: int, min_p: float
) -> None:
    for kept in (keep_top_k(logits, top_k), keep_top_p(logits, top_p), keep_min_p(logits, min_p)):
        is_kept = np.isfinite(kept)
        assert is_kept[logits == logits.max()].any()
        assert not (~is_kept).any() or logits[is_kept].min() >= logits[~is_kept].max()
        np.testing.assert_array_equal(kept[is_kept], logits[is_kept])


@given(PARAMS, st.lists(PARAMS, max_size=3), st.integers(0, 2**32))
@settings(max_examples=60)
def test_same_seed_gives_the_same_ids_whatever_the_batch_mates(
    params: SamplingParams, mates: list[SamplingParams], seed: int
) -> None:
    rows = make_logits(seed, 8) / 4
    alone, together = Sampler(1, VOCAB), Sampler(1 + len(mates), VOCAB)
    alone.admit(0, np.array([1, 2]), params)
    for slot, each in enumerate([*mates, params]):
        together.admit(slot, np.array([1, 2]), each)
    slots = list(range(len(mates) + 1))
    for row in rows:
        (own,) = alone.sample([0], row[None])
        batch = np.stack([*(row[::-1] for _ in mates), row])
        assert together.sample(slots, batch)[-1] == own


@given(PARAMS, st.integers(0, 2**32))
@settings(max_examples=60)
def test_greedy_is_the_largest_after_all_penalties(params: SamplingParams, seed: int) -> None:
    greedy = SamplingParams(
        repetition_penalty=params.repetition_penalty,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        ban_token_ids=params.ban_token_ids,
    )
    sampler, said = Sampler(1, VOCAB, repetition_penalty=1.2), list[int]()
    sampler.admit(0, np.array([7, 8]), greedy)
    for row in make_logits(seed, 8) / 8:
        scores = slow_penalty(row, [7, 8, *said], greedy.repetition_penalty or 1.2)
        scores = slow_counts(scores, said, greedy.presence_penalty, greedy.frequency_penalty)
        scores[list(greedy.ban_token_ids)] = -np.inf
        said += sampler.sample([0], row[None])
        assert said[-1] == scores.argmax()


@given(PARAMS, st.integers(1, 6))
@settings(max_examples=40)
def test_a_saved_sequence_goes_on_in_another_slot_as_if_it_had_stayed(
    params: SamplingParams, num_before: int
) -> None:
    stayed, moved = Sampler(1, VOCAB), Sampler(2, VOCAB)
    for sampler in (stayed, moved):
        sampler.admit(0, np.array([4, 5]), params)
    slot = 0
    for number, row in enumerate(make_logits(num_before, 9) / 4):
        if number == num_before:
            state = moved.save(0)
            moved.release(0)
            moved.admit_saved(1, state)
            slot = 1
        assert stayed.sample([0], row[None]) == moved.sample([slot], row[None])
