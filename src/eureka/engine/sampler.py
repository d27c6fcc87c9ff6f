"""Choice of the next token: repetition penalty, temperature, top-k, top-p, and the draw.

The order and the rules are Hugging Face's (repetition penalty over the whole sequence, prompt
included; bans; then, when sampling, temperature, top-k, top-p, softmax). Each request draws from a
generator of its own, so that its tokens depend on its seed and never on its batch mates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eureka.engine.request import Ids
from eureka.types import SamplingParams

Logits = NDArray[np.float32]

RELEASED_REPETITION_PENALTY = 1.05
"""What the released model decodes with; also greedily (eureka-audio, section on generation)."""


def penalise_repetition(logits: Logits, seen: NDArray[np.bool_], penalty: Any) -> Logits:
    """Logits (..., V) with those of seen ids divided by `penalty` if positive, else multiplied by it."""
    penalised = np.where(logits > 0, logits / penalty, logits * penalty)
    return np.where(seen, penalised, logits).astype(np.float32, copy=False)


def keep_top_k(logits: Logits, top_k: int) -> Logits:
    """Logits (V,) with all below the k-th largest at -inf; ties with it stay."""
    if top_k >= logits.shape[0]:
        return logits
    smallest_kept = np.partition(logits, -top_k)[-top_k]
    return np.where(logits < smallest_kept, np.float32(-np.inf), logits)


def keep_top_p(logits: Logits, top_p: float) -> Logits:
    """Logits (V,) with only the smallest set of likeliest ids whose probability reaches top_p."""
    order = np.argsort(logits, kind="stable")  # ascending, as the rule below counts from the tail
    tail = np.cumsum(softmax(logits)[order])
    dropped = order[:-1][tail[:-1] <= 1 - top_p]  # the likeliest id always stays
    kept = logits.copy()
    kept[dropped] = -np.inf
    return kept


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities along the last axis, in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    weights: NDArray[np.float64] = np.exp(shifted)
    probabilities: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities


def draw(probabilities: NDArray[np.float64], generator: np.random.Generator) -> int:
    """One id from (V,) by inverting the cumulative sum; exactly one random number is used."""
    cumulative = np.cumsum(probabilities)
    chosen = np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right")
    return int(min(chosen, np.flatnonzero(probabilities)[-1]))


class Sampler:
    """Chooses tokens for all slots at once.

    Args:
        num_slots: rows that may be in use.
        vocab_size: V, the width of the logits.
        repetition_penalty: of requests that name none.
    """

    def __init__(
        self, num_slots: int, vocab_size: int, repetition_penalty: float = RELEASED_REPETITION_PENALTY
    ) -> None:
        self._own_penalty = repetition_penalty
        self._seen = np.zeros((num_slots, vocab_size), dtype=np.bool_)
        self._penalty = np.ones((num_slots, 1), dtype=np.float32)
        self._params: dict[int, SamplingParams] = {}
        self._generators: dict[int, np.random.Generator] = {}

    def admit(self, slot: int, prompt_ids: Ids, params: SamplingParams) -> None:
        """Start a sequence in `slot`: its prompt counts as seen, its generator starts at the seed."""
        self._seen[slot] = False
        self._seen[slot, prompt_ids] = True
        asked = params.repetition_penalty
        self._penalty[slot] = self._own_penalty if asked is None else asked
        self._params[slot] = params
        self._generators[slot] = np.random.Generator(np.random.PCG64(params.seed))

    def sample(self, slots: list[int], logits: Logits) -> list[int]:
        """The next id of each slot from its row of logits (n, V); chosen ids count as seen."""
        scores = penalise_repetition(logits, self._seen[slots], self._penalty[slots])
        chosen = scores.argmax(axis=-1)
        for row, slot in enumerate(slots):
            params = self._params[slot]
            if params.ban_token_ids:
                scores[row, list(params.ban_token_ids)] = -np.inf
                chosen[row] = scores[row].argmax()
            if params.temperature > 0:
                chosen[row] = self._draw(slot, scores[row])
        self._seen[slots, chosen] = True
        return [int(token_id) for token_id in chosen]

    def _draw(self, slot: int, scores: Logits) -> int:
        params = self._params[slot]
        scores = scores / np.float32(params.temperature)
        if params.top_k:
            scores = keep_top_k(scores, params.top_k)
        if params.top_p < 1:
            scores = keep_top_p(scores, params.top_p)
        return draw(softmax(scores), self._generators[slot])

    def release(self, slot: int) -> None:
        """Forget the sequence in `slot`, if there is one."""
        self._params.pop(slot, None)
        self._generators.pop(slot, None)
