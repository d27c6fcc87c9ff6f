"""Which prompts go on in a step, and how far: the budget of prompt tokens shared out and cut into chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from eureka.engine.backend import Prefill
from eureka.engine.live import LiveRequest


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Tokens `start` to `end` of a request's prompt."""

    live: LiveRequest
    start: int
    end: int

    @property
    def num_tokens(self) -> int:
        """Its length."""
        return self.end - self.start

    @property
    def is_last(self) -> bool:
        """Whether the prompt ends with it."""
        return self.end == self.live.request.num_prompt_tokens

    def to_prefill(self) -> Prefill:
        """What the backend needs of it."""
        live, request = self.live, self.live.request
        first, last = np.searchsorted(live.audio_positions, [self.start, self.end])
        return Prefill(
            live.slot,
            request.prompt_ids[self.start : self.end],
            live.audio_positions[first:last] - self.start,
            request.audio_embeddings[first:last],
            self.start,
        )


def plan_chunks(
    groups: Iterable[Sequence[LiveRequest]], budget: int, chunk_tokens: int | None = None
) -> list[Chunk]:
    """Chunks of one step; for each request at most one, unless `chunk_tokens` cuts them.

    Earlier groups go first. In a group the oldest is sure of half of what is left, so that a long prompt
    always goes on; the rest goes to the others by what they have left, so that short prompts pass it.

    Args:
        groups: requests that prefill, the most urgent group first, in each the oldest first.
        budget: prompt tokens, at least `chunk_tokens`.
        chunk_tokens: chunks end at each multiple of it and with their prompt only; None: anywhere.
    """
    least = chunk_tokens or 1
    shares = _Shares(budget, least)
    for oldest, *others in groups:
        shares.give(oldest, max((shares.num_left + 1) // 2, least))
        for live in sorted(others, key=lambda live: live.num_left_tokens):
            shares.give(live, shares.num_left)
        shares.give(oldest, shares.num_left)
    return [chunk for live, end in shares.ends.items() for chunk in _cut(live, end, chunk_tokens)]


def batches_of(chunks: Sequence[Chunk], max_padded_tokens: int, one_by_one: bool) -> Iterator[list[Chunk]]:
    """Chunks that are run together: of similar length, within `max_padded_tokens` when padded to the longest.

    Args:
        chunks: of one step; several of one request stand in order.
        max_padded_tokens: a longer chunk goes alone.
        one_by_one: each goes alone, in the order given.
    """
    batch: list[Chunk] = []
    for chunk in chunks if one_by_one else sorted(chunks, key=lambda chunk: -chunk.num_tokens):
        if batch and (one_by_one or batch[0].num_tokens * (len(batch) + 1) > max_padded_tokens):
            yield batch
            batch = []
        batch.append(chunk)
    if batch:
        yield batch


class _Shares:
    """Where each request's prefill will stand, and what is left of the budget."""

    def __init__(self, budget: int, multiple: int) -> None:
        self.num_left = budget
        self.ends: dict[LiveRequest, int] = {}
        self._multiple = multiple

    def give(self, live: LiveRequest, most: int) -> None:
        """Let a request go on by at most `most` tokens, within the budget."""
        start = self.ends.get(live, live.num_prefilled)
        end = min(start + min(most, self.num_left), live.request.num_prompt_tokens)
        if end < live.request.num_prompt_tokens:
            end -= end % self._multiple
        if end > start:
            self.num_left -= end - start
            self.ends[live] = end


def _cut(live: LiveRequest, end: int, chunk_tokens: int | None) -> Iterator[Chunk]:
    """The tokens up to `end`, cut at the multiples of `chunk_tokens`, or in one piece."""
    start = live.num_prefilled
    size = chunk_tokens or end - start
    edges = [start, *range(start + size, end, size), end]
    for start, stop in pairwise(edges):
        yield Chunk(live, start, stop)
