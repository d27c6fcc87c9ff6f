"""TorchPrefix: a saved prefix of the backends on torch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class TorchPrefix:
    """Keys and values of a sequence's first tokens, (layers, K, num_tokens, P) each; see `SavedPrefix`."""

    keys: Tensor
    values: Tensor

    @property
    def num_tokens(self) -> int:
        """Tokens that a slot holds after loading it."""
        return self.keys.shape[2]

    @property
    def num_bytes(self) -> int:
        """Memory of keys and values."""
        return self.keys.nbytes + self.values.nbytes
