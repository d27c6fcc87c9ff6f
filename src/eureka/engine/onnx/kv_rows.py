"""KvRows: keys and values of all slots in memory that graphs write in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from eureka.engine.request import Floats
from eureka.model.config import DecoderConfig


@dataclass(frozen=True, slots=True, eq=False)
class SavedRows:
    """First tokens of one row: (K, num_tokens, P) for the keys and the values of each layer."""

    num_tokens: int
    arrays: tuple[Floats, ...]

    @property
    def num_bytes(self) -> int:
        """Memory of the copies."""
        return sum(array.nbytes for array in self.arrays)


class KvRows:
    """Caches (R, K, C, P), one for keys and one for values of each layer; memory is taken as it is written.

    Args:
        config: of the language model.
        num_rows: R.
        capacity: C, positions of a row.
    """

    def __init__(self, config: DecoderConfig, num_rows: int, capacity: int) -> None:
        shape = (num_rows, config.num_key_value_heads, capacity, config.head_dim)
        self._names: list[tuple[str, str]] = []
        self._caches: list[NDArray[np.float32]] = []
        for layer in range(config.num_hidden_layers):
            for kind in ("keys", "values"):
                self._names.append((f"{kind}_{layer}", f"new_{kind}_{layer}"))
                self._caches.append(np.zeros(shape, dtype=np.float32))

    def bind(self, binding: ort.IOBinding, first: int, count: int) -> None:
        """Let a run read and write `count` rows from `first` on."""
        for (before, after), cache in zip(self._names, self._caches, strict=True):
            rows = cache[first : first + count]
            place = ("cpu", 0, np.float32, rows.shape, rows.ctypes.data)
            binding.bind_input(before, *place)
            binding.bind_output(after, *place)

    def save(self, row: int, num_tokens: int) -> SavedRows:
        """A copy of the first tokens of a row."""
        return SavedRows(num_tokens, tuple(cache[row, :, :num_tokens].copy() for cache in self._caches))

    def load(self, row: int, saved: SavedRows) -> None:
        """Write saved tokens into a row."""
        for cache, array in zip(self._caches, saved.arrays, strict=True):
            cache[row, :, : saved.num_tokens] = array

    def copy(self, source: int, target: int, num_tokens: int) -> None:
        """Copy the first tokens of a row into another one."""
        for cache in self._caches:
            cache[target, :, :num_tokens] = cache[source, :, :num_tokens]
