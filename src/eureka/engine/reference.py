"""The reference backend: torch eager on EurekaAudio's decoder; the truth that other backends are held to.

Correctness before speed: one padded pass per prefill, one pass over all slots per decode step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eureka.engine.backend import Prefill, SavedPrefix
from eureka.engine.request import Floats
from eureka.engine.slot_lengths import SlotLengths
from eureka.engine.torch_prefix import TorchPrefix
from eureka.model.decoder import Decoder
from eureka.model.kv_cache import KvCache

_FIRST_CAPACITY = 512
"""Positions a slot that memory is first taken for; doubled as sequences grow, up to the context."""

_CONTINUATIONS_AT_ONCE = 16
"""Rows of one scoring pass; bounds the memory of logits (rows, T, V)."""


class ReferenceBackend(SlotLengths):
    """Prefill and decode in eager torch; see `Backend` for the contract.

    Computes in the decoder's own dtype and on its device; logits are given as float32.

    Args:
        decoder: weights; its `config` gives the widths.
        num_slots: sequences held at once.
        context_tokens: longest sequence, at most the checkpoint's max_position_embeddings.
    """

    def __init__(self, decoder: Decoder, num_slots: int = 8, context_tokens: int = 4096) -> None:
        super().__init__(decoder.config, num_slots, context_tokens)
        self._decoder = decoder.eval()
        weight = decoder.model.embed_tokens.weight
        self._dtype, self._device = weight.dtype, weight.device
        self._cache = self._build_cache(min(_FIRST_CAPACITY, self._context_tokens))

    @torch.inference_mode()
    def prefill(self, prefills: Sequence[Prefill]) -> Floats:
        """Run chunks, right-padded together; logits (n, V) after each chunk's last token.

        Padding is never seen: its keys all stand in the one place behind the chunk's last, which the
        slot's next token overwrites.
        """
        slots = [p.slot for p in prefills]
        starts = np.array([p.start for p in prefills])
        ends = starts + [len(p.prompt_ids) for p in prefills]
        assert (self._lengths[slots] == starts).all(), "a chunk must begin where its slot ends"
        longest, length = int((ends - starts).max()), int(ends.max())
        self._reserve(length)
        embeddings = torch.stack([self._embed(p, longest) for p in prefills])  # (n, L, W)
        positions = np.minimum(starts[:, None] + np.arange(longest), ends[:, None])  # (n, L)
        rows = self._cache.rows(self._tensor(slots), length)
        self._lengths[slots] = ends  # first, so that `release` sees it should the pass break
        hidden = self._decoder(embeddings, self._tensor(positions), rows)  # (n, L, W)
        last = self._tensor(ends - starts - 1)
        return self._logits(hidden[torch.arange(len(slots), device=self._device), last])

    @torch.inference_mode()
    def decode(self, slots: Sequence[int], token_ids: Sequence[int]) -> Floats:
        """Append one token to each slot; logits (n, V) after it."""
        assert self._lengths[list(slots)].all(), "a slot to decode must be prefilled"
        rows, order = self._decode_rows(slots)
        ids = np.zeros(len(rows), dtype=np.int64)
        ids[order] = token_ids
        positions = self._lengths[rows]
        length = int(self._lengths[list(slots)].max()) + 1
        self._reserve(length)
        embeddings = self._decoder.embed(self._tensor(ids))[:, None]  # (n, 1, W)
        cache = self._cache.rows(self._tensor(rows), length)
        self._lengths[list(slots)] += 1
        hidden = self._decoder(embeddings, self._tensor(positions)[:, None], cache)
        return self._logits(hidden[order, 0])

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
    def save_prefix(self, slot: int, num_tokens: int) -> TorchPrefix:
        """Copy of the first `num_tokens` tokens of `slot`."""
        assert 0 < num_tokens <= self._lengths[slot], "only what a slot holds can be saved"
        cache = self._cache
        return TorchPrefix(
            cache.keys[:, slot, :, :num_tokens].clone(), cache.values[:, slot, :, :num_tokens].clone()
        )

    @torch.inference_mode()
    def load_prefix(self, slot: int, prefix: SavedPrefix) -> None:
        """Fill an empty `slot` with what was saved."""
        assert isinstance(prefix, TorchPrefix), "a prefix of another backend"
        assert not self._lengths[slot], "a slot to load into must be empty"
        self._reserve(prefix.num_tokens)
        self._cache.keys[:, slot, :, : prefix.num_tokens] = prefix.keys
        self._cache.values[:, slot, :, : prefix.num_tokens] = prefix.values
        self._lengths[slot] = prefix.num_tokens

    @torch.inference_mode()
    def release(self, slot: int) -> None:
        """Forget what `slot` holds; not even numbers stay: hidden ones weigh 0, and 0 times NaN is NaN."""
        end = self._lengths[slot] + 1  # with the place that padding and runs along it may have written
        self._cache.keys[:, slot, :, :end] = 0
        self._cache.values[:, slot, :, :end] = 0
        self._lengths[slot] = 0

    def _continue(self, slot: int, continuations: Sequence[Sequence[int]]) -> list[NDArray[np.float64]]:
        prefix = int(self._lengths[slot])
        longest = max(len(ids) for ids in continuations) - 1
        if longest == 0:
            return [np.zeros(0) for _ in continuations]
        padded = np.zeros((len(continuations), longest + 1), dtype=np.int64)
        for row, token_ids in enumerate(continuations):
            padded[row, : len(token_ids)] = token_ids
        ids = self._tensor(padded)  # (n, T)
        positions = prefix + torch.arange(longest, device=self._device).expand(len(padded), longest)
        rows = _PrefixRows(self._cache, slot, prefix, longest)
        hidden = self._decoder(self._decoder.embed(ids[:, :-1]), positions, rows)
        logs = self._decoder.logits(hidden).float().log_softmax(dim=-1)  # (n, T-1, V)
        chosen = logs.gather(-1, ids[:, 1:, None])[..., 0].double().cpu().numpy()
        return [chosen[row, : len(token_ids) - 1] for row, token_ids in enumerate(continuations)]

    def _embed(self, prefill: Prefill, length: int) -> Tensor:
        """Embeddings (length, W) of a chunk: the table's, audio rows put in place, zeros behind."""
        embeddings = torch.zeros(length, self.embedding_width, dtype=self._dtype, device=self._device)
        embeddings[: len(prefill.prompt_ids)] = self._decoder.embed(self._tensor(prefill.prompt_ids))
        if len(prefill.audio_positions):
            audio = torch.tensor(prefill.audio_embeddings, dtype=self._dtype, device=self._device)
            embeddings[self._tensor(prefill.audio_positions)] = audio
        return embeddings

    def _decode_rows(self, slots: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Cache rows to run and where each slot stands among them.

        A run of neighbouring rows is read in place, any other set is copied in every layer. So gaps, free
        or amid their prompts, are run along, when they are fewer than the slots: what they write behind
        what they hold is overwritten by what comes there.
        """
        wanted = np.asarray(slots, dtype=np.int64)
        run = np.arange(wanted.min(), wanted.max() + 1)
        gaps = np.setdiff1d(run, wanted)
        if len(gaps) < len(wanted):
            return run, wanted - run[0]
        return wanted, np.arange(len(wanted))

    def _reserve(self, length: int) -> None:
        """Make room for `length` positions a slot."""
        assert length <= self._context_tokens, "the engine checks lengths at admission"
        if length < self._cache.capacity:
            return
        old = self._cache
        self._cache = self._build_cache(min(max(2 * old.capacity, length), self._context_tokens))
        self._cache.keys[..., : old.capacity, :] = old.keys
        self._cache.values[..., : old.capacity, :] = old.values

    def _build_cache(self, capacity: int) -> KvCache:
        """A cache of `capacity` positions a slot and one more, for the padding of a full slot."""
        return KvCache(self._decoder.config, self._num_slots, capacity + 1, self._dtype, self._device)

    def _logits(self, hidden: Tensor) -> Floats:
        logits: Floats = self._decoder.logits(hidden).float().cpu().numpy()
        return logits

    def _tensor(self, values: Sequence[int] | NDArray[np.int64]) -> Tensor:
        return torch.tensor(np.asarray(values, dtype=np.int64), device=self._device)


class _PrefixRows:
    """Several continuations behind one slot's sequence; the cache itself is only read."""

    def __init__(self, cache: KvCache, slot: int, prefix: int, new: int) -> None:
        self._keys = cache.keys[:, slot : slot + 1, :, :prefix]  # (layers, 1, K, prefix, P)
        self._values = cache.values[:, slot : slot + 1, :, :prefix]
        self.length = prefix + new

    def update(self, layer: int, keys: Tensor, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Prefix and new keys and values (B, K, T, P); see `LayerKeysValues`."""
        shared = (-1, -1, -1)
        count = keys.shape[0]
        return (
            torch.cat([self._keys[layer].expand(count, *shared), keys], dim=2),
            torch.cat([self._values[layer].expand(count, *shared), values], dim=2),
        )
