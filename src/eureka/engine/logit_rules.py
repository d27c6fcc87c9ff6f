"""The rules that change logits before a token is chosen; each alone, over one row or many.

Order and definitions are those of Hugging Face's processors and warpers, and for presence and frequency those
of the OpenAI API; `sampler` says in which order they follow each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eureka.engine.request import Ids

Logits = NDArray[np.float32]

_SORTED_WHOLE = 4_096
"""Up to so many logits a sort costs less than looking for what need not be sorted."""


def penalise_repetition(logits: Logits, penalty: float | Logits) -> Logits:
    """Logits of ids that stand in the sequence, divided by `penalty` if positive, else multiplied by it.

    Args:
        logits: of any shape.
        penalty: above 0; one for all, or one each as float32.
    """
    is_at_least_1 = penalty.min() >= 1 if isinstance(penalty, np.ndarray) else penalty >= 1
    factor = np.asarray(penalty, dtype=np.float32)
    divided, multiplied = logits / factor, logits * factor
    if is_at_least_1:
        return np.minimum(divided, multiplied)  # the same for either sign, and quicker
    return np.where(logits > 0, divided, multiplied)


def penalise_counts(logits: Logits, counts: Logits, presence: float, frequency: float) -> Logits:
    """Logits of generated ids less `frequency` for each time they were generated, and `presence` once."""
    return logits - counts * np.float32(frequency) - np.float32(presence)


def keep_top_k(logits: Logits, top_k: int) -> Logits:
    """Logits (V,) with all below the k-th largest at -inf; ties with it stay."""
    if top_k >= logits.shape[0]:
        return logits
    smallest_kept = np.partition(logits, -top_k)[-top_k]
    return np.where(logits < smallest_kept, np.float32(-np.inf), logits)


def keep_top_p(logits: Logits, top_p: float) -> Logits:
    """Logits (V,) with only the smallest set of likeliest ids whose probability reaches top_p."""
    if len(logits) > _SORTED_WHOLE:
        return _keep_top_p_of_many(logits, top_p)
    order = np.argsort(logits, kind="stable")  # ascending, as the rule below counts from the tail
    tail = np.cumsum(softmax(logits)[order])
    kept = logits.copy()
    kept[order[:-1][tail[:-1] <= 1 - top_p]] = -np.inf  # the likeliest id always stays
    return kept


def _keep_top_p_of_many(logits: Logits, top_p: float) -> Logits:
    """The same, without sorting ids that are surely dropped: together they weigh at most 1 - top_p."""
    probabilities = softmax(logits)
    is_light = probabilities <= (1 - top_p) / len(logits)
    is_light &= probabilities < probabilities.max()
    heavy = np.flatnonzero(~is_light)
    order = heavy[np.argsort(logits[heavy], kind="stable")]
    tail = probabilities[is_light].sum() + np.cumsum(probabilities[order])
    kept = np.where(is_light, np.float32(-np.inf), logits)
    kept[order[:-1][tail[:-1] <= 1 - top_p]] = -np.inf
    return kept


def keep_min_p(logits: Logits, min_p: float) -> Logits:
    """Logits (V,) with only ids at least `min_p` times as probable as the likeliest; that one stays."""
    ratios = np.exp(logits.astype(np.float64) - logits.max())
    return np.where(ratios < min_p, np.float32(-np.inf), logits)


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities along the last axis, in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    weights: NDArray[np.float64] = np.exp(shifted)
    probabilities: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities


def draw(probabilities: NDArray[np.float64], generator: np.random.Generator) -> int:
    """One index of (V,) by inverting the cumulative sum; exactly one random number is used."""
    cumulative = np.cumsum(probabilities)
    chosen = np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right")
    return int(min(chosen, np.flatnonzero(probabilities)[-1]))


class SeenIds:
    """The different ids of a sequence as an array that rules index with.

    Args:
        ids: that it starts with.
    """

    def __init__(self, ids: Ids | Sequence[int] = ()) -> None:
        self._ids = np.unique(np.asarray(ids, dtype=np.int64))
        self._size = len(self._ids)
        self._place = {token_id: place for place, token_id in enumerate(self._ids.tolist())}

    @property
    def ids(self) -> Ids:
        """Them (N,), in the order of their places."""
        return self._ids[: self._size]

    def add(self, token_id: int) -> int:
        """Note one token more; its place."""
        place = self._place.get(token_id)
        return self._append(token_id) if place is None else place

    def _append(self, token_id: int) -> int:
        if self._size == len(self._ids):  # twice the room, so that adding stays cheap
            self._ids = np.concatenate([self._ids, np.zeros(max(16, self._size), dtype=np.int64)])
        place = self._place[token_id] = self._size
        self._ids[place] = token_id
        self._size += 1
        return place


class TokenTally(SeenIds):
    """The ids that were generated, and how often each was; starts with none."""

    def __init__(self) -> None:
        super().__init__()
        self._counts = np.zeros(0, dtype=np.float32)

    @property
    def counts(self) -> Logits:
        """How often each of `ids` was generated, (N,)."""
        return self._counts[: self._size]

    def add(self, token_id: int) -> int:
        """Count one token more; its place."""
        place = super().add(token_id)
        self._counts[place] += 1
        return place

    def _append(self, token_id: int) -> int:
        place = super()._append(token_id)
        grown = np.zeros(len(self._ids) - len(self._counts), dtype=np.float32)
        self._counts = np.concatenate([self._counts, grown]) if len(grown) else self._counts
        return place
