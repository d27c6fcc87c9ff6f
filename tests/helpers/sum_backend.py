"""SumBackend: a backend of plain arithmetic, fast enough for thousands of random schedules.

Its logits depend on every token and audio row of the sequence and on their order, so a lost, doubled or
misplaced chunk changes all that follows. It asserts the whole contract of `Backend`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eureka.engine.backend import Prefill, SavedPrefix
from eureka.engine.request import AUDIO_TOKEN_TYPE, Floats, Request
from eureka.engine.sampler import Sampler
from eureka.types import Priority, SamplingParams

VOCAB = 32
"""V; prompts of `small_request` hold ids from 10 on."""

WIDTH = 2
"""W, the width of audio embeddings."""

_MODULUS = 1_000_003

_TOKEN_BYTES = 4
"""What one saved token counts for."""


@dataclass(frozen=True)
class SumPrefix:
    """A copy of a sequence."""

    sequence: tuple[int, ...]

    @property
    def num_tokens(self) -> int:
        return len(self.sequence)

    @property
    def num_bytes(self) -> int:
        return _TOKEN_BYTES * len(self.sequence)


@dataclass
class Call:
    """One forward pass: what it was, on which slots and how many tokens."""

    kind: str
    slots: list[int]
    num_tokens: int = 0
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)


class SumBackend:
    """A sequence is a list of numbers, one a token; logits come from a rolling sum of all of them.

    Attributes:
        calls: every forward pass so far.
    """

    vocab_size = VOCAB
    embedding_width = WIDTH

    def __init__(self, num_slots: int, context_tokens: int = 64) -> None:
        self.num_slots = num_slots
        self.context_tokens = context_tokens
        self.calls: list[Call] = []
        self._held: dict[int, list[int]] = {slot: [] for slot in range(num_slots)}

    def prefill(self, prefills: Sequence[Prefill]) -> Floats:
        assert prefills and len({p.slot for p in prefills}) == len(prefills)
        for p in prefills:
            assert len(self._held[p.slot]) == p.start, "a chunk must begin where its slot ends"
            assert len(p.prompt_ids) and len(p.audio_positions) == len(p.audio_embeddings)
            numbers = p.prompt_ids.tolist()
            for place, row in zip(p.audio_positions, p.audio_embeddings, strict=True):
                assert 0 <= place < len(numbers)
                numbers[place] = _audio_number(row)
            self._append(p.slot, numbers)
        sizes = [len(p.prompt_ids) for p in prefills]
        starts = [p.start for p in prefills]
        ends = [start + size for start, size in zip(starts, sizes, strict=True)]
        self.calls.append(Call("prefill", [p.slot for p in prefills], sum(sizes), starts, ends))
        return np.stack([_logits(self._held[p.slot]) for p in prefills])

    def decode(self, slots: Sequence[int], token_ids: Sequence[int]) -> Floats:
        assert slots and len(set(slots)) == len(slots) == len(token_ids)
        for slot, token_id in zip(slots, token_ids, strict=True):
            assert self._held[slot], "a slot to decode must be prefilled"
            assert 0 <= token_id < VOCAB
            self._append(slot, [token_id])
        self.calls.append(Call("decode", list(slots), len(slots)))
        return np.stack([_logits(self._held[slot]) for slot in slots])

    def continuation_log_probabilities(
        self, slot: int, continuations: Sequence[Sequence[int]]
    ) -> list[NDArray[np.float64]]:
        assert self._held[slot]
        scores = []
        for ids in continuations:
            rows = [_logits([*self._held[slot], *ids[:t]]) for t in range(1, len(ids))]
            scores.append(np.array([float(row[ids[t + 1]]) for t, row in enumerate(rows)]))
        return scores

    def save_prefix(self, slot: int, num_tokens: int) -> SumPrefix:
        assert 0 < num_tokens <= len(self._held[slot])
        return SumPrefix(tuple(self._held[slot][:num_tokens]))

    def load_prefix(self, slot: int, prefix: SavedPrefix) -> None:
        assert isinstance(prefix, SumPrefix)
        assert not self._held[slot], "a slot to load into must be empty"
        self._append(slot, list(prefix.sequence))

    def release(self, slot: int) -> None:
        self._held[slot] = []

    def num_held(self) -> int:
        """Tokens in all slots; 0 when the engine has forgotten nothing."""
        return sum(map(len, self._held.values()))

    def _append(self, slot: int, numbers: list[int]) -> None:
        self._held[slot] += numbers
        assert len(self._held[slot]) <= self.context_tokens


def small_request(
    number: int,
    length: int = 12,
    audio: int | None = None,
    num_audio: int = 4,
    request_id: str | None = None,
    priority: int = Priority.DEFAULT,
    deadline: float | None = None,
    **sampling: Any,
) -> Request:
    """A prompt of `length` tokens, drawn from `number`; its first 2 + num_audio from `audio` if given.

    Positions 2 to 2 + num_audio are audio then, as far as the prompt goes.
    """
    rng, types = np.random.default_rng(number), np.zeros(length, dtype=np.int64)
    prompt_ids = rng.integers(10, VOCAB, length)
    if audio is not None:
        shared = np.random.default_rng(1000 + audio)
        prompt_ids[: 2 + num_audio] = shared.integers(10, VOCAB, 2 + num_audio)[:length]
        types[2 : 2 + num_audio] = AUDIO_TOKEN_TYPE
    rows = np.random.default_rng(2000 + (audio or 0)).random((num_audio, WIDTH)).astype(np.float32)
    return Request(
        request_id=request_id or f"request-{number}",
        prompt_ids=prompt_ids,
        token_type_ids=types,
        audio_embeddings=rows[: int(np.count_nonzero(types))],
        sampling=SamplingParams(**{"max_new_tokens": 6, "repetition_penalty": 1.1, **sampling}),
        priority=priority,
        deadline=deadline,
    )


def slow_answer(request: Request, end_token_id: int) -> list[int]:
    """What `request` is answered, one token after the other without an engine."""
    numbers = request.prompt_ids.tolist()
    for place, row in zip(request.audio_positions, request.audio_embeddings, strict=True):
        numbers[place] = _audio_number(row)
    sampler = Sampler(1, VOCAB)
    sampler.admit(0, request.prompt_ids, request.sampling)
    answer: list[int] = []
    while len(answer) < request.sampling.max_new_tokens:
        token_id = sampler.sample([0], _logits([*numbers, *answer])[None])[0]
        if token_id == end_token_id:
            break
        answer.append(token_id)
    return answer


def _audio_number(row: Floats) -> int:
    return 1000 + round(float(row @ np.array([100, 10_000], dtype=np.float32)))


def _logits(sequence: Sequence[int]) -> Floats:
    """(V,) from a rolling sum; no two ids are ever equal."""
    total = 7
    for number in sequence:
        total = (total * 31 + number + 1) % _MODULUS
    return _shuffled(total)


@lru_cache(maxsize=100_000)
def _shuffled(seed: int) -> Floats:
    return np.random.default_rng(seed).permutation(VOCAB).astype(np.float32)
