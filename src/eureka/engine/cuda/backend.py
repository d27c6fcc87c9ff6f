"""CudaBackend: prefill and decode on a GPU. See `Backend` and `ManyStepsBackend` for the contracts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eureka.engine.backend import Prefill, SavedPrefix, StepChoice
from eureka.engine.cuda.choosing import MOST_TOP_K
from eureka.engine.cuda.ops import PlainOps, StepOps
from eureka.engine.cuda.paged_cache import PagedCache
from eureka.engine.cuda.prefill import (
    Piece,
    continuation_attention,
    logits_of,
    prefill_attention,
    run_layers,
)
from eureka.engine.cuda.runner import StepRunner
from eureka.engine.cuda.seen_ids import SeenTable
from eureka.engine.cuda.step import MAX_STEPS, DecodeStep, StepInputs
from eureka.engine.cuda.weights import DecoderWeights
from eureka.engine.request import Floats
from eureka.engine.slot_lengths import SlotLengths
from eureka.engine.torch_prefix import TorchPrefix

_CONTINUATIONS_AT_ONCE = 16
"""Rows of one scoring pass; bounds the memory of logits (rows, T, V)."""


class CudaBackend(SlotLengths):
    """Decode steps as CUDA graphs over a paged cache, tokens chosen on the device.

    Without a GPU the same steps run eagerly in plain torch, which is how they are tested.

    Args:
        weights: of the language model; their device and type are those of all arithmetic.
        num_slots: sequences held at once.
        context_tokens: longest sequence, at most what `weights` have rotary tables for.
        cache_tokens: of all sequences together; None for all slots at their longest.
        is_padded: decode always runs the same number of rows, so that a row's result is the same bytes
            whatever runs beside it.
        ops: how steps are computed; None takes our kernels on a GPU and plain torch elsewhere.
    """

    def __init__(
        self,
        weights: DecoderWeights,
        num_slots: int = 8,
        context_tokens: int = 4096,
        cache_tokens: int | None = None,
        is_padded: bool = False,
        ops: StepOps | None = None,
    ) -> None:
        config, device = weights.config, weights.device
        super().__init__(config, num_slots, min(context_tokens, len(weights.cos)))
        self._weights, self._device = weights, device
        self._cache = PagedCache(config, num_slots, self._context_tokens, cache_tokens, weights.dtype, device)
        self._seen = SeenTable(num_slots, config.vocab_size, device)
        step = DecodeStep(weights, self._cache, ops or _ops(weights), self._seen.table)
        self._runner = StepRunner(step, num_slots, is_padded, device.type == "cuda")

    @torch.inference_mode()
    def prepare(self) -> None:
        """Compile kernels and capture graphs, so that no request waits for it; nothing without a GPU."""
        if self._device.type == "cuda":
            self._runner.prepare()

    @property
    def step_bytes(self) -> int:
        """Bytes of weights that a step reads."""
        return self._weights.step_bytes

    @property
    def most_top_k(self) -> int:
        """See `ChoosingBackend`."""
        return MOST_TOP_K

    @torch.inference_mode()
    def prefill(self, prefills: Sequence[Prefill]) -> Floats:
        """Append chunks to their slots, side by side without padding; logits (n, V) after each one's last."""
        pieces = [Piece(p.slot, p.start, len(p.prompt_ids)) for p in prefills]
        for piece in pieces:
            assert self._lengths[piece.slot] == piece.start, "a chunk goes on where its slot ends"
            if piece.start == 0:
                self._seen.forget(piece.slot)
            self._cache.reserve(piece.slot, piece.start + piece.count)
        positions = np.concatenate([piece.start + np.arange(piece.count) for piece in pieces])
        x = torch.cat([self._embed(p) for p in prefills])  # (N, D)
        hidden = run_layers(self._weights, x, self._tensor(positions), prefill_attention(self._cache, pieces))
        for piece in pieces:
            self._lengths[piece.slot] = piece.start + piece.count
        last = self._tensor(np.cumsum([piece.count for piece in pieces]) - 1)
        return _to_host(logits_of(self._weights, hidden[last]))

    @torch.inference_mode()
    def decode(self, slots: Sequence[int], token_ids: Sequence[int]) -> Floats:
        """Append one token to each slot; logits (n, V) after it."""
        buffers = self._runner.buffers(len(slots))
        buffers.fill(self._inputs(slots, token_ids, 1))
        logits = _to_host(self._runner.logits(buffers, len(slots)))
        self._lengths[list(slots)] += 1
        return logits

    @torch.inference_mode()
    def decode_steps(
        self, slots: Sequence[int], token_ids: Sequence[int], choices: Sequence[StepChoice], end_token_id: int
    ) -> list[list[int]]:
        """See `ManyStepsBackend`; no more than MAX_STEPS draws."""
        count = len(choices[0].draws)
        assert count <= MAX_STEPS, "steps of a call are bounded by their caller"
        inputs = self._inputs(slots, token_ids, count)
        for slot, choice in zip(slots, choices, strict=True):
            if choice.seen_ids is not None:
                self._seen.learn(slot, choice.seen_ids)
        buffers = self._runner.buffers(len(slots))
        buffers.fill(inputs, choices, end_token_id)
        is_drawn = any(choice.temperature > 0 for choice in choices)
        answers = self._runner.tokens(buffers, len(slots), count, "drawn" if is_drawn else "greedy")
        for slot, answer in zip(slots, answers, strict=True):
            self._seen.chose(slot, answer)
        return answers

    def keep_steps(self, slot: int, num_tokens: int) -> None:
        """See `ManyStepsBackend`."""
        self._lengths[slot] += num_tokens
        self._seen.keep(slot, num_tokens)

    @torch.inference_mode()
    def continuation_log_probabilities(
        self, slot: int, continuations: Sequence[Sequence[int]]
    ) -> list[NDArray[np.float64]]:
        """Log-probabilities (T - 1,) of each continuation's tokens from the second on."""
        return [
            scores
            for start in range(0, len(continuations), _CONTINUATIONS_AT_ONCE)
            for scores in self._continue(slot, continuations[start : start + _CONTINUATIONS_AT_ONCE])
        ]

    @torch.inference_mode()
    def save_prefix(self, slot: int, num_tokens: int) -> SavedPrefix:
        """Copy the first tokens of a slot."""
        assert 0 < num_tokens <= self._lengths[slot], "a slot cannot give more than it holds"
        return self._cache.save(slot, num_tokens)

    @torch.inference_mode()
    def load_prefix(self, slot: int, prefix: SavedPrefix) -> None:
        """Write saved tokens into an empty slot."""
        assert isinstance(prefix, TorchPrefix), "a prefix is read by the kind of backend that saved it"
        assert not self._lengths[slot], "a slot to load into must be empty"
        self._seen.forget(slot)
        self._cache.load(slot, prefix)
        self._lengths[slot] = prefix.num_tokens

    @torch.inference_mode()
    def release(self, slot: int) -> None:
        """Forget what `slot` holds."""
        self._cache.release(slot)
        self._seen.forget(slot)
        self._lengths[slot] = 0

    def _inputs(self, slots: Sequence[int], token_ids: Sequence[int], num_steps: int) -> StepInputs:
        """Rows of a call, with room in the cache for what it appends."""
        lengths = self._lengths[list(slots)]
        assert lengths.all(), "a slot to decode must be prefilled"
        for slot, length in zip(slots, lengths.tolist(), strict=True):
            self._cache.reserve(slot, length + num_steps)
        return StepInputs(slots, token_ids, lengths)

    def _embed(self, prefill: Prefill) -> Tensor:
        """Embeddings (L, D) of a chunk, audio rows in their places."""
        embeddings = self._weights.table.index_select(0, self._tensor(prefill.prompt_ids))
        if len(prefill.audio_positions):
            audio = torch.from_numpy(np.ascontiguousarray(prefill.audio_embeddings, np.float32))
            embeddings[self._tensor(prefill.audio_positions)] = audio.to(self._device, embeddings.dtype)
        return embeddings

    def _continue(self, slot: int, continuations: Sequence[Sequence[int]]) -> list[NDArray[np.float64]]:
        prefix, longest = int(self._lengths[slot]), max(map(len, continuations)) - 1
        if longest == 0:
            return [np.zeros(0) for _ in continuations]
        padded = np.zeros((len(continuations), longest + 1), dtype=np.int64)
        for row, token_ids in enumerate(continuations):
            padded[row, : len(token_ids)] = token_ids
        ids = self._tensor(padded)
        positions = self._tensor(np.tile(prefix + np.arange(longest), len(padded)))
        attend = continuation_attention(self._cache, slot, prefix, longest)
        x = self._weights.table.index_select(0, ids[:, :-1].flatten())
        logits = logits_of(self._weights, run_layers(self._weights, x, positions, attend))
        logs = logits.view(len(padded), longest, -1).log_softmax(dim=-1)  # (n, T - 1, V)
        chosen = logs.gather(-1, ids[:, 1:, None])[..., 0].double().cpu().numpy()
        return [chosen[row, : len(token_ids) - 1] for row, token_ids in enumerate(continuations)]

    def _tensor(self, values: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.int64)).to(self._device)


def _ops(weights: DecoderWeights) -> StepOps:
    if weights.device.type != "cuda":
        return PlainOps(weights)
    from eureka.engine.cuda.triton_ops import TritonOps

    return TritonOps(weights)


def _to_host(logits: Tensor) -> Floats:
    """A copy in memory of the host; what computed them goes on to change theirs."""
    rows: Floats = logits.to("cpu", copy=True).numpy()
    return rows
