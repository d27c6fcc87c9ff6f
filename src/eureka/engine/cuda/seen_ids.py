"""SeenTable: on the device, the ids that a repetition penalty looks at, kept by sending news only."""

from __future__ import annotations

import numpy as np
import torch

from eureka.engine.request import Ids


class SeenTable:
    """A row of the vocabulary for each slot.

    Steps themselves mark what they choose. Told ids come from one growing list a sequence, of which each call
    sends what is new; a row that may hold too much is written anew.

    Args:
        num_slots: rows; one more takes what rows without a sequence mark.
        vocab_size: V.
        device: where it lies.

    Attributes:
        table: (num_slots + 1, V) bool.
    """

    def __init__(self, num_slots: int, vocab_size: int, device: torch.device) -> None:
        self.table = torch.zeros((num_slots + 1, vocab_size), dtype=torch.bool, device=device)
        self._num_told = [0] * num_slots
        self._num_chosen = [0] * num_slots  # by the last call, not kept yet
        self._is_dirty = [False] * num_slots

    def learn(self, slot: int, ids: Ids) -> None:
        """Mark all `ids` of the sequence in `slot`: those of the call before and, behind them, new ones."""
        if self._is_dirty[slot]:
            self.table[slot] = False
            self._num_told[slot], self._is_dirty[slot] = 0, False
        news = ids[self._num_told[slot] :]
        if len(news):
            index = torch.from_numpy(np.ascontiguousarray(news, np.int64)).to(self.table.device)
            self.table[slot].index_fill_(0, index, True)
        self._num_told[slot] = len(ids)

    def chose(self, slot: int, ids: list[int]) -> None:
        """Note that steps have marked these ids."""
        self._num_chosen[slot] = len(ids)

    def keep(self, slot: int, num_tokens: int) -> None:
        """Of the ids marked by the last call so many stay; marks of others are not valid."""
        if num_tokens < self._num_chosen[slot]:
            self._is_dirty[slot] = True
        self._num_chosen[slot] = 0

    def forget(self, slot: int) -> None:
        """Another sequence comes into `slot`."""
        self._is_dirty[slot] = True
        self._num_chosen[slot] = 0
