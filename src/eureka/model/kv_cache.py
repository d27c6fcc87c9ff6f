"""Keys and values of running sequences, one slot each.

A key of position p stands at index p of its slot, so slots of different lengths are decoded together: a query
at position p sees the indices up to p and nothing of what an earlier owner of the slot left behind.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from eureka.model.config import DecoderConfig


class LayerKeysValues(Protocol):
    """Where the decoder puts new keys and values and finds the old ones."""

    @property
    def length(self) -> int:
        """Number of keys that `update` gives back, T."""
        ...

    def update(self, layer: int, keys: Tensor, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values (B, K, L, P) at positions (B, L); give all (B, K, T, P) of these rows."""
        ...


class KvCache:
    """Memory for `num_slots` sequences of up to `capacity` positions.

    Args:
        config: shape of the decoder.
        num_slots: sequences that can be held at once.
        capacity: positions per slot.
        dtype: of keys and values.
        device: where they lie.

    Attributes:
        keys: (layers, slots, K, capacity, P).
        values: as keys.
    """

    def __init__(
        self,
        config: DecoderConfig,
        num_slots: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (config.num_hidden_layers, num_slots, config.num_key_value_heads, capacity, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)

    @property
    def num_slots(self) -> int:
        """Sequences that can be held at once."""
        return self.keys.shape[1]

    @property
    def capacity(self) -> int:
        """Positions per slot."""
        return self.keys.shape[3]

    def rows(self, slots: Tensor, length: int) -> CacheRows:
        """The slots (B,) of one forward pass, showing the first `length` positions of each."""
        return CacheRows(self, slots, length)


class CacheRows:
    """Some slots of a cache, in the order of a batch; see `LayerKeysValues`."""

    def __init__(self, cache: KvCache, slots: Tensor, length: int) -> None:
        assert length <= cache.capacity, "the caller checks lengths before a forward pass"
        self._cache, self._slots, self.length = cache, slots, length
        count = len(slots)
        # Neighbouring slots are read as a view; any other order costs a copy of their keys and values.
        first = int(slots[0]) if count else 0
        is_run = bool((slots == torch.arange(first, first + count, device=slots.device)).all())
        self._view: slice | Tensor = slice(first, first + count) if is_run else slots

    def update(self, layer: int, keys: Tensor, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values (B, K, L, P) at positions (B, L); give back all (B, K, T, P)."""
        return (
            self._put(self._cache.keys[layer], keys, positions),
            self._put(self._cache.values[layer], values, positions),
        )

    def _put(self, store: Tensor, new: Tensor, positions: Tensor) -> Tensor:
        store[self._slots[:, None], :, positions] = new.transpose(1, 2)  # indexed as (B, L, K, P)
        return store[self._view, :, : self.length]
