"""OnnxBackend: prefill and decode on ONNX Runtime; the default on CPUs. See `Backend` for the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from eureka.engine.backend import Prefill, SavedPrefix
from eureka.engine.onnx.decoder_runs import DecoderRuns
from eureka.engine.onnx.graph_store import GraphStore
from eureka.engine.onnx.kv_rows import KvRows, SavedRows
from eureka.engine.request import Floats
from eureka.engine.scoring import log_softmax
from eureka.engine.slot_lengths import SlotLengths
from eureka.engine.tables import TokenTable

_SCORE_ROWS = 16
"""Rows behind those of the slots, in which continuations are tried side by side."""

_LARGEST_GAP = 3
"""Free rows that are run along between two used ones: cheaper, up to here, than another run."""


class OnnxBackend(SlotLengths):
    """Prefill and decode over graphs with caches in place.

    Prompts are prefilled one chunk at a time: on one core a batch of them gains nothing. What a row gives
    does not depend on its neighbours beyond float rounding; with `is_padded`, not at all.

    Args:
        graphs: of the checkpoint.
        num_slots: sequences held at once.
        context_tokens: longest sequence, at most the checkpoint's max_position_embeddings.
        is_padded: decode always runs the rows of all slots, so that each row meets the same arithmetic.
    """

    def __init__(
        self, graphs: GraphStore, num_slots: int = 8, context_tokens: int = 4096, is_padded: bool = False
    ) -> None:
        config = graphs.plan.config.backbone
        super().__init__(config, num_slots, context_tokens)
        self._is_padded = is_padded
        self._table = TokenTable(graphs.plan.stored)
        self._rows = KvRows(config, num_slots + _SCORE_ROWS, self._context_tokens)
        self._runs = DecoderRuns(graphs.open_decoder(self._context_tokens), config, self._rows)

    def prefill(self, prefills: Sequence[Prefill]) -> Floats:
        """Append chunks to their slots; logits (n, V) after each chunk's last token."""
        return np.stack([self._prefill(prefill) for prefill in prefills])

    def decode(self, slots: Sequence[int], token_ids: Sequence[int]) -> Floats:
        """Append one token to each slot; logits (n, V) after it."""
        wanted = np.array(slots)
        assert self._lengths[wanted].all(), "a slot to decode must be prefilled"
        embeds = self._table.rows(np.array(token_ids))
        first, last = min(slots), max(slots)
        if last - first < len(slots) + _LARGEST_GAP and not self._is_padded:
            logits = self._decode_range(first, last - first + 1, wanted, embeds)
        else:
            logits = np.empty((len(wanted), self.vocab_size), np.float32)
            for start, count, chosen in self._ranges(wanted):
                logits[chosen] = self._decode_range(start, count, wanted[chosen], embeds[chosen])
        self._lengths[wanted] += 1
        return logits

    def _decode_range(self, first: int, count: int, slots: NDArray[np.int64], embeds: Floats) -> Floats:
        """Logits of slots that lie among `count` rows from `first` on.

        A row that is run along has its token written behind what it holds, where it is not seen.
        """
        places = np.minimum(self._lengths[first : first + count], self._context_tokens - 1)
        rows = slots - first
        padded = np.zeros((count, embeds.shape[1]), np.float32)
        padded[rows] = embeds
        logits: Floats = self._runs.decode(first, padded, places)[rows]
        return logits

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
        return self._rows.save(slot, num_tokens)

    def load_prefix(self, slot: int, prefix: SavedPrefix) -> None:
        """Write saved tokens into an empty slot."""
        assert isinstance(prefix, SavedRows), "a prefix is read by the kind of backend that saved it"
        assert not self._lengths[slot], "a slot to load into must be empty"
        self._rows.load(slot, prefix)
        self._lengths[slot] = prefix.num_tokens

    def release(self, slot: int) -> None:
        """Forget what `slot` holds."""
        self._lengths[slot] = 0

    def _prefill(self, prefill: Prefill) -> Floats:
        assert self._lengths[prefill.slot] == prefill.start, "a chunk goes on where its slot ends"
        embeds = self._table.rows(prefill.prompt_ids)
        if len(prefill.audio_positions):
            embeds[prefill.audio_positions] = prefill.audio_embeddings
        logits = self._runs.prefill(prefill.slot, prefill.start, embeds)
        self._lengths[prefill.slot] = prefill.start + len(embeds)
        return logits

    def _ranges(self, slots: NDArray[np.int64]) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
        """Runs that cover the slots: first row, number of rows, and the indices of `slots` among them."""
        if self._is_padded:
            yield 0, self._num_slots, np.arange(len(slots))
            return
        order = np.argsort(slots, kind="stable")
        cuts = np.flatnonzero(np.diff(slots[order]) > _LARGEST_GAP + 1) + 1
        for chosen in np.split(order, cuts):
            first, last = int(slots[chosen[0]]), int(slots[chosen[-1]])
            yield first, last - first + 1, chosen

    def _continue(self, slot: int, continuations: Sequence[Sequence[int]]) -> list[NDArray[np.float64]]:
        prefix, first = int(self._lengths[slot]), self._num_slots
        longest = max(map(len, continuations)) - 1
        padded = np.zeros((len(continuations), longest + 1), dtype=np.int64)
        for row, token_ids in enumerate(continuations):
            padded[row, : len(token_ids)] = token_ids
        if longest:
            for row in range(len(continuations)):
                self._rows.copy(slot, first + row, prefix)
        chosen = np.zeros((len(continuations), longest))
        for place in range(longest):
            places = np.full(len(continuations), prefix + place)
            logs = log_softmax(self._runs.decode(first, self._table.rows(padded[:, place]), places))
            chosen[:, place] = np.take_along_axis(logs, padded[:, place + 1, None], axis=-1)[:, 0]
        return [chosen[row, : len(token_ids) - 1] for row, token_ids in enumerate(continuations)]
