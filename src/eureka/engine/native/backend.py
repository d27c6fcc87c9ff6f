"""NativeBackend: prefill and decode on kernels of our own. See `Backend` for the contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eureka.engine.backend import Prefill, SavedPrefix, StepChoice
from eureka.engine.native.weights import build_decoder
from eureka.engine.request import Floats, Ids
from eureka.engine.scoring import log_softmax
from eureka.engine.slot_lengths import SlotLengths
from eureka.engine.tables import TokenTable
from eureka.model.load_plan import LoadPlan

_SCORE_ROWS = 16
"""Rows behind those of the slots, in which continuations are tried side by side."""


@dataclass(frozen=True, slots=True, eq=False)
class SavedBytes:
    """The cache of one sequence's first tokens, as the kernels lay it out."""

    num_tokens: int
    data: NDArray[np.uint8]

    @property
    def num_bytes(self) -> int:
        """Memory of the copy."""
        return self.data.nbytes


class NativeBackend(SlotLengths):
    """One thread; a row's result is the same bytes whatever runs beside it and however its prompt is cut.

    Args:
        plan: of the checkpoint.
        numerics: exact (float32), fast (bfloat16 products) or int8 (in the blocks' linears and the head).
        num_slots: sequences held at once.
        context_tokens: longest sequence, at most the checkpoint's max_position_embeddings.
        kernels: instruction set, "" for the best that the processor has.

    Raises:
        NotFoundError: the extension is not there.
        ValueError: the checkpoint has widths that the kernels are not made for.
    """

    def __init__(
        self,
        plan: LoadPlan,
        numerics: str = "exact",
        num_slots: int = 8,
        context_tokens: int = 4096,
        kernels: str = "",
    ) -> None:
        config = plan.config.backbone
        super().__init__(config, num_slots, context_tokens)
        self._table = TokenTable(plan.stored)
        self._decoder: Any = build_decoder(
            config, plan.read_backbone(), numerics, num_slots + _SCORE_ROWS, self._context_tokens, kernels
        )

    def prefill(self, prefills: Sequence[Prefill]) -> Floats:
        """Append chunks to their slots; logits (n, V) after each chunk's last token."""
        return np.concatenate([self._prefill(prefill) for prefill in prefills])

    def decode(self, slots: Sequence[int], token_ids: Sequence[int]) -> Floats:
        """Append one token to each slot; logits (n, V) after it."""
        wanted = np.array(slots)
        assert self._lengths[wanted].all(), "a slot to decode must be prefilled"
        logits = self._run(self._table.rows(np.array(token_ids)), wanted, self._lengths[wanted])
        self._lengths[wanted] += 1
        return logits

    def decode_steps(
        self, slots: Sequence[int], token_ids: Sequence[int], choices: Sequence[StepChoice], end_token_id: int
    ) -> list[list[int]]:
        """See `ManyStepsBackend`."""
        wanted = np.array(slots)
        assert self._lengths[wanted].all(), "a slot to decode must be prefilled"
        ids, counts = self._decoder.generate(
            wanted,
            np.array(token_ids),
            self._lengths[wanted],
            len(choices[0].draws),
            end_token_id,
            np.array([choice.temperature for choice in choices], np.float32),
            np.array([choice.top_k for choice in choices]),
            np.array([choice.draws for choice in choices], np.float64),
        )
        return [row[:count].tolist() for row, count in zip(ids, counts.tolist(), strict=True)]

    def keep_steps(self, slot: int, num_tokens: int) -> None:
        """See `ManyStepsBackend`."""
        self._lengths[slot] += num_tokens

    def continuation_log_probabilities(
        self, slot: int, continuations: Sequence[Sequence[int]]
    ) -> list[NDArray[np.float64]]:
        """Log-probabilities (T - 1,) of each continuation's tokens from the second on."""
        return [
            scores
            for start in range(0, len(continuations), _SCORE_ROWS)
            for scores in self._continue(slot, continuations[start : start + _SCORE_ROWS])
        ]

    def save_prefix(self, slot: int, num_tokens: int) -> SavedPrefix:
        """Copy the first tokens of a slot."""
        assert num_tokens <= self._lengths[slot], "a slot cannot give more than it holds"
        return SavedBytes(num_tokens, self._decoder.save(slot, num_tokens))

    def load_prefix(self, slot: int, prefix: SavedPrefix) -> None:
        """Write saved tokens into an empty slot."""
        assert isinstance(prefix, SavedBytes), "a prefix is read by the kind of backend that saved it"
        assert not self._lengths[slot], "a slot to load into must be empty"
        self._decoder.load(slot, prefix.num_tokens, prefix.data)
        self._lengths[slot] = prefix.num_tokens

    def release(self, slot: int) -> None:
        """Forget what `slot` holds."""
        self._lengths[slot] = 0

    def _prefill(self, prefill: Prefill) -> Floats:
        assert self._lengths[prefill.slot] == prefill.start, "a chunk goes on where its slot ends"
        embeds = self._table.rows(prefill.prompt_ids)
        if len(prefill.audio_positions):
            embeds[prefill.audio_positions] = prefill.audio_embeddings
        count, places = len(embeds), prefill.start + np.arange(len(embeds))
        logits = self._run(embeds, np.full(count, prefill.slot), places, [count - 1])
        self._lengths[prefill.slot] = prefill.start + count
        return logits

    def _run(self, embeds: Floats, slots: Ids, places: Ids, wanted: Sequence[int] | None = None) -> Floats:
        """Logits of the wanted rows, of all when None."""
        rows = np.arange(len(slots)) if wanted is None else np.array(wanted)
        logits: Floats = self._decoder.run(embeds, slots, places, rows)
        return logits

    def _continue(self, slot: int, continuations: Sequence[Sequence[int]]) -> list[NDArray[np.float64]]:
        """All tokens of a continuation in one run: each row sees what stands before it."""
        prefix = int(self._lengths[slot])
        runs = [np.array(token_ids[:-1], dtype=np.int64) for token_ids in continuations]
        rows = [row for row, run in enumerate(runs) if len(run)]
        scores: list[NDArray[np.float64]] = [np.zeros(0) for _ in runs]
        if not rows:
            return scores
        saved = self._decoder.save(slot, prefix)
        for row in rows:
            self._decoder.load(self._num_slots + row, prefix, saved)
        slots = np.concatenate([np.full(len(runs[row]), self._num_slots + row) for row in rows])
        places = np.concatenate([prefix + np.arange(len(runs[row])) for row in rows])
        logits = self._run(self._table.rows(np.concatenate([runs[row] for row in rows])), slots, places)
        logs = np.split(log_softmax(logits), np.cumsum([len(runs[row]) for row in rows])[:-1])
        for row, of_row in zip(rows, logs, strict=True):
            wanted = np.array(continuations[row][1:], dtype=np.int64)
            scores[row] = np.take_along_axis(of_row, wanted[:, None], axis=-1)[:, 0]
        return scores
