"""Which clips share a batch: fixed shapes, kinds mixed by ratio, every batch from its number alone.

oneDNN compiles a kernel per shape, so batches come in a few fixed shapes of about equal work. A kind
(a data set, or composed scenes) is drawn by its ratio; a clip within a kind evenly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Draw:
    """One place of a batch: the kind and the clip's number inside that kind."""

    kind: str
    clip: int


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """A batch: its padded length and what stands in each row."""

    length: int
    draws: tuple[Draw, ...]


class BucketSampler:
    """Draws batch plans.

    Args:
        lengths: for each kind, the length of each of its clips, in the unit of `buckets`.
        ratios: for each kind, its share of all samples; need not sum to one.
        buckets: padded lengths, ascending; longer clips are never drawn.
        rows: total length of a batch; a batch of bucket L holds rows // L samples.

    Raises:
        InvalidInputError: a ratio for a kind without clips, or no clip fits.
    """

    def __init__(
        self,
        lengths: Mapping[str, Sequence[int] | NDArray[np.int64]],
        ratios: Mapping[str, float],
        buckets: Sequence[int],
        rows: int,
    ) -> None:
        self._buckets, self._rows = tuple(buckets), rows
        self._clips: dict[tuple[str, int], NDArray[np.int64]] = {}
        self._kinds = [k for k, ratio in ratios.items() if ratio > 0]
        unknown = sorted(set(self._kinds) - set(lengths))
        if unknown:
            message = f"the mix names {unknown}, but there are only {sorted(lengths)}"
            raise InvalidInputError(message, reason="UNKNOWN_KIND")
        share = np.zeros((len(self._kinds), len(self._buckets)))
        for row, kind in enumerate(self._kinds):
            share[row] = ratios[kind] * self._split(kind, np.asarray(lengths[kind]))
        samples_per_batch = np.array([max(1, rows // b) for b in self._buckets])
        batches = share.sum(axis=0) / samples_per_batch
        if not batches.sum() > 0:
            raise InvalidInputError(f"no clip fits the buckets {self._buckets}", reason="EMPTY_TRAINING_SET")
        self._bucket_odds = batches / batches.sum()
        self._kind_odds = share / np.maximum(share.sum(axis=0), 1e-12)

    def _split(self, kind: str, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
        bucket_of = np.searchsorted(self._buckets, lengths)
        counts = np.zeros(len(self._buckets))
        for b in range(len(self._buckets)):
            self._clips[kind, b] = np.flatnonzero(bucket_of == b)
            counts[b] = len(self._clips[kind, b])
        shares: NDArray[np.float64] = counts / max(counts.sum(), 1)
        return shares

    def plan(self, rng: np.random.Generator) -> BatchPlan:
        """Draw one batch."""
        b = int(rng.choice(len(self._buckets), p=self._bucket_odds))
        size = max(1, self._rows // self._buckets[b])
        kinds = rng.choice(len(self._kinds), size=size, p=self._kind_odds[:, b])
        draws = []
        for k in kinds:
            clips = self._clips[self._kinds[k], b]
            draws.append(Draw(self._kinds[k], int(clips[rng.integers(len(clips))])))
        return BatchPlan(self._buckets[b], tuple(draws))
