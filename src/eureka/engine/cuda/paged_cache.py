"""PagedCache: keys and values in pages that slots take as they grow and give back when they end."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from eureka.engine.torch_prefix import TorchPrefix
from eureka.model.config import DecoderConfig

PAGE_TOKENS = 32
"""Tokens of a page: a tile of attention; a sequence wastes half of one on average."""

NO_PAGE = 0
"""Takes what rows without a sequence write; nobody reads it."""


class PagedCache:
    """Memory shared by all slots.

    Args:
        config: of the language model.
        num_slots: sequences held at once.
        context_tokens: longest of them.
        cache_tokens: tokens of all sequences together; None for all slots at their longest. Whoever gives
            less sees to it that no more are held, as the engine does by `max_held_tokens`; each slot may need
            a page more than its tokens fill.
        dtype: of keys and values.
        device: where they lie.

    Attributes:
        keys: (layers, pages, K, PAGE_TOKENS, P).
        values: as keys.
        tables: (num_slots + 1, pages a slot) int32, the pages of each slot in order; the last row is that of
            rows without a sequence.
    """

    def __init__(
        self,
        config: DecoderConfig,
        num_slots: int,
        context_tokens: int,
        cache_tokens: int | None,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        pages_a_slot = pages_for(context_tokens)
        most = num_slots * pages_a_slot
        num_pages = most if cache_tokens is None else min(most, pages_for(cache_tokens) + num_slots)
        shape = (
            config.num_hidden_layers,
            num_pages + 1,
            config.num_key_value_heads,
            PAGE_TOKENS,
            config.head_dim,
        )
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.tables = torch.zeros((num_slots + 1, pages_a_slot), dtype=torch.int32, device=device)
        self._free = list(range(num_pages, NO_PAGE, -1))  # lowest last, so that it is taken first
        self._pages: list[list[int]] = [[] for _ in range(num_slots)]

    @property
    def num_free(self) -> int:
        """Pages that no slot holds."""
        return len(self._free)

    def reserve(self, slot: int, num_tokens: int) -> None:
        """Let `slot` hold `num_tokens` tokens in all.

        Raises:
            MemoryError: no page is left; the slot is as it was.
        """
        pages, needed = self._pages[slot], pages_for(num_tokens)
        missing = needed - len(pages)
        if missing <= 0:
            return
        if missing > len(self._free):
            raise MemoryError(f"slot {slot} needs {missing} pages more; {len(self._free)} are free")
        pages += [self._free.pop() for _ in range(missing)]
        row = torch.tensor(pages[-missing:], dtype=torch.int32, device=self.tables.device)
        self.tables[slot, needed - missing : needed] = row

    def release(self, slot: int) -> None:
        """Give the pages of `slot` back. What they hold may stay: nobody reads behind a sequence's end."""
        pages, self._pages[slot] = self._pages[slot], []
        if pages:
            self.tables[slot] = NO_PAGE
        self._free += reversed(pages)

    def places(self, slot: int, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Page and place in it (count,) of tokens from `start` on, for which there is room."""
        positions = torch.arange(start, start + count, device=self.tables.device)
        pages = self.tables[slot].index_select(0, positions // PAGE_TOKENS).long()
        return pages, positions % PAGE_TOKENS

    def write(self, layer: int, places: tuple[Tensor, Tensor], keys: Tensor, values: Tensor) -> None:
        """Store keys and values (N, K, P) at N places."""
        pages, inside = places
        self.keys[layer][pages, :, inside] = keys
        self.values[layer][pages, :, inside] = values

    def read(self, layer: int, slot: int, num_tokens: int) -> tuple[Tensor, Tensor]:
        """Keys and values (K, num_tokens, P) of a slot's first tokens, copied together."""
        index = self._index(self._pages[slot][: pages_for(num_tokens)])
        keys, values = (_joined(store[layer, index], num_tokens) for store in (self.keys, self.values))
        return keys, values

    def save(self, slot: int, num_tokens: int) -> TorchPrefix:
        """A copy of a slot's first tokens."""
        index = self._index(self._pages[slot][: pages_for(num_tokens)])
        keys, values = (_joined(store[:, index], num_tokens) for store in (self.keys, self.values))
        return TorchPrefix(keys.clone(), values.clone())

    def load(self, slot: int, saved: TorchPrefix) -> None:
        """Write saved tokens into a slot that holds none."""
        self.reserve(slot, saved.num_tokens)
        pages, inside = self.places(slot, 0, saved.num_tokens)
        self.keys[:, pages, :, inside] = saved.keys.permute(2, 0, 1, 3)  # (num_tokens, layers, K, P)
        self.values[:, pages, :, inside] = saved.values.permute(2, 0, 1, 3)

    def _index(self, pages: Sequence[int]) -> Tensor:
        return torch.tensor(pages, dtype=torch.int64, device=self.tables.device)


def pages_for(num_tokens: int) -> int:
    """Pages that hold so many tokens."""
    return -(-num_tokens // PAGE_TOKENS)


def _joined(pages: Tensor, num_tokens: int) -> Tensor:
    """(..., pages, K, PAGE_TOKENS, P) to (..., K, num_tokens, P)."""
    return pages.transpose(-4, -3).flatten(-3, -2)[..., :num_tokens, :]
