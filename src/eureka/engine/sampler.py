"""Choice of the next token of each slot, by the rules of `logit_rules` that its request asks for.

The order is Hugging Face's, with the penalties of the OpenAI API where vLLM has them: repetition penalty over
the whole sequence, prompt included; frequency and presence penalty over the generated tokens; bans and the
mask of a constraint. Then the largest, or, when sampling: temperature, top-k, top-p, min-p, softmax and one
draw.
Each request draws from a generator of its own, so that its tokens depend on its seed and never on its batch
mates. What a request does not ask for costs it nothing: greedy without penalties is one argmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eureka.engine.backend import StepChoice
from eureka.engine.logit_rules import (
    Logits,
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
from eureka.engine.request import Ids
from eureka.types import SamplingParams

Mask = NDArray[np.bool_]

RELEASED_REPETITION_PENALTY = 1.05
"""What the released model decodes with; also greedily (eureka-audio, section on generation)."""

NOTHING_ALLOWED = -1
"""Stands for an id where bans and mask together leave none."""

_OUT = np.float32(-np.inf)

_LARGEST_FACTOR = 1e15
"""Temperature and penalty count as at most this, and as at least its inverse. Beyond, choices stay the same,
but float32 overflows, and what is not a number would be drawn past masks and bans."""


@dataclass(frozen=True, slots=True, eq=False)
class SequenceState:
    """One sequence as the sampler knows it.

    Attributes:
        params: of the request.
        penalty: on repetition.
        seen: ids of prompt and answer; None where no penalty looks at them.
        said: ids of the answer; None where no penalty looks at them.
        banned: ids that are never chosen; None without any.
        generator: of the draws; None where there are none.
    """

    params: SamplingParams
    penalty: float
    seen: SeenIds | None
    said: TokenTally | None
    banned: Ids | None
    generator: np.random.Generator | None

    @classmethod
    def start(cls, prompt_ids: Ids, params: SamplingParams, penalty: float) -> SequenceState:
        """Behind the prompt; the generator starts at the seed."""
        counts = params.presence_penalty != 0 or params.frequency_penalty != 0
        return cls(
            params,
            penalty,
            seen=SeenIds(prompt_ids) if penalty != 1 else None,
            said=TokenTally() if counts else None,
            banned=np.array(params.ban_token_ids, dtype=np.int64) if params.ban_token_ids else None,
            generator=np.random.Generator(np.random.PCG64(params.seed)) if params.temperature > 0 else None,
        )

    @property
    def is_plain(self) -> bool:
        """Whether its logits are taken as they are."""
        return self.seen is None and self.said is None and self.banned is None

    def take(self, token_id: int) -> None:
        """Note the chosen token."""
        if self.seen is not None:
            self.seen.add(token_id)
        if self.said is not None:
            self.said.add(token_id)


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
        self._num_slots = num_slots
        self._vocab_size = vocab_size
        self._own_penalty = repetition_penalty
        self._sequences: dict[int, SequenceState] = {}

    def admit(self, slot: int, prompt_ids: Ids, params: SamplingParams) -> None:
        """Start a sequence in `slot`: its prompt counts as seen, its generator starts at the seed."""
        asked = params.repetition_penalty
        penalty = self._own_penalty if asked is None else asked
        self.admit_saved(slot, SequenceState.start(prompt_ids, params, _bounded(penalty)))

    def sample(self, slots: Sequence[int], logits: Logits, masks: Sequence[Mask | None] = ()) -> list[int]:
        """The next id of each slot from its row of logits (n, V); chosen ids count as seen.

        Args:
            slots: of the rows.
            logits: left as they are.
            masks: of each row (N,) True at the ids that may come, those from N on may not, or None;
                nothing at all where no row has one.

        Returns:
            Ids, with NOTHING_ALLOWED where no id may come.
        """
        sequences = [self._sequences[slot] for slot in slots]
        masks = masks or (None,) * len(sequences)
        scores = _scores(sequences, logits, masks)
        chosen: list[int] = scores.argmax(axis=-1).tolist()
        for row, (sequence, mask) in enumerate(zip(sequences, masks, strict=True)):
            if sequence.generator is None and sequence.is_plain and mask is None:
                continue
            if scores[row, chosen[row]] == _OUT:
                chosen[row] = NOTHING_ALLOWED
                continue
            if sequence.generator is not None:
                chosen[row] = _drawn(sequence.params, scores[row], sequence.generator)
            sequence.take(chosen[row])
        return chosen

    def can_choose_ahead(self, slot: int, most_top_k: int | None = None) -> bool:
        """Whether a backend can choose the tokens of a slot itself, by temperature and top-k alone.

        With `most_top_k` it is one that also knows repetition penalties, but no larger top-k.
        """
        sequence = self._sequences[slot]
        params = sequence.params
        if most_top_k is None and not sequence.is_plain:
            return False
        if sequence.said is not None or sequence.banned is not None:
            return False
        if params.temperature <= 0:
            return True
        is_small = most_top_k is None or (params.top_k or 0) <= most_top_k
        return params.top_p >= 1 and params.min_p <= 0 and is_small

    def choose_ahead(self, slot: int, count: int) -> StepChoice:
        """What a backend needs to choose `count` tokens of a slot; `chose_ahead` is to follow."""
        sequence = self._sequences[slot]
        seen = None if sequence.seen is None else sequence.seen.ids
        if sequence.generator is None:
            return StepChoice(0.0, 0, (0.0,) * count, sequence.penalty, seen)
        draws = tuple(sequence.generator.random(count).tolist())
        temperature, top_k = _bounded(sequence.params.temperature), sequence.params.top_k or 0
        return StepChoice(temperature, top_k, draws, sequence.penalty, seen)

    def chose_ahead(self, slot: int, count: int, token_ids: Sequence[int]) -> None:
        """Note what was chosen; of `count` draws the others are still to come."""
        sequence, num_chosen = self._sequences[slot], len(token_ids)
        for token_id in token_ids:
            sequence.take(token_id)
        generator = sequence.generator
        if generator is not None and num_chosen < count:
            bits = generator.bit_generator
            assert isinstance(bits, np.random.PCG64)
            bits.advance(num_chosen - count)

    def release(self, slot: int) -> None:
        """Forget the sequence in `slot`, if there is one."""
        self._sequences.pop(slot, None)

    def save(self, slot: int) -> SequenceState:
        """The sequence in `slot`, to go on in another after this one was released."""
        return self._sequences[slot]

    def admit_saved(self, slot: int, state: SequenceState) -> None:
        """Go on in `slot` with a sequence that `save` gave."""
        assert 0 <= slot < self._num_slots
        self._sequences[slot] = state


def _scores(sequences: Sequence[SequenceState], logits: Logits, masks: Sequence[Mask | None]) -> Logits:
    """Logits after penalties, bans and masks; the given array itself where there are none."""
    if all(sequence.is_plain for sequence in sequences) and not any(mask is not None for mask in masks):
        return logits
    scores = np.array(logits, dtype=np.float32, order="C")
    _penalise_seen(sequences, scores)
    for row, (sequence, mask) in enumerate(zip(sequences, masks, strict=True)):
        if sequence.said is not None:
            _penalise_said(sequence.said, sequence.params, scores[row])
        if sequence.banned is not None:
            scores[row, sequence.banned] = _OUT
        if mask is not None:
            width = min(len(mask), scores.shape[1])
            scores[row, :width][~mask[:width]] = _OUT
            scores[row, width:] = _OUT
    return scores


def _penalise_seen(sequences: Sequence[SequenceState], scores: Logits) -> None:
    """Repetition penalty of all rows in one go, at the ids that each has seen only."""
    rows = [row for row, sequence in enumerate(sequences) if sequence.seen is not None]
    seen = [seen.ids for sequence in sequences if (seen := sequence.seen) is not None]
    if not rows:
        return
    if len(rows) == 1:  # the same at less cost, for decoding alone
        (row,), (ids,) = rows, seen
        scores[row, ids] = penalise_repetition(scores[row, ids], sequences[row].penalty)
        return
    sizes = [len(ids) for ids in seen]
    penalties = np.array([sequences[row].penalty for row in rows], dtype=np.float32)
    places = np.concatenate(seen) + np.repeat(np.array(rows) * scores.shape[1], sizes)
    flat = scores.reshape(-1)
    flat[places] = penalise_repetition(flat[places], np.repeat(penalties, sizes))


def _penalise_said(said: TokenTally, params: SamplingParams, scores: Logits) -> None:
    counted = penalise_counts(
        scores[said.ids], said.counts, params.presence_penalty, params.frequency_penalty
    )
    scores[said.ids] = counted


def _drawn(params: SamplingParams, scores: Logits, generator: np.random.Generator) -> int:
    """One id of a row (V,), of which at least one may come."""
    scores = scores / np.float32(_bounded(params.temperature))
    ids: Ids | None = None
    if params.top_k:
        scores = keep_top_k(scores, params.top_k)
        ids = np.flatnonzero(scores > _OUT)  # what follows looks at these only
        scores = scores[ids]
    if params.top_p < 1:
        scores = keep_top_p(scores, params.top_p)
    if params.min_p > 0:
        scores = keep_min_p(scores, params.min_p)
    chosen = draw(softmax(scores), generator)
    return chosen if ids is None else int(ids[chosen])


def _bounded(factor: float) -> float:
    return min(max(factor, 1 / _LARGEST_FACTOR), _LARGEST_FACTOR)
