"""The border between audio and arithmetic: what runs an encoder and what runs an adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from eureka.engine.request import Floats, Ids


@dataclass(frozen=True, slots=True, eq=False)
class RoutedTokens:
    """What an adapter made of A audio tokens.

    Attributes:
        audio_embeddings: (A, W) float32.
        selected: (A, k) experts that served each token, best first.
        gates: (A, k) float32, weight of each of them.
    """

    audio_embeddings: Floats
    selected: Ids
    gates: Floats

    def shares(self, num_experts: int) -> Floats:
        """Weight of each expert in each token, (A, E); rows sum to 1 where gates do."""
        table = np.zeros((len(self.selected), num_experts), dtype=np.float32)
        np.put_along_axis(table, self.selected, self.gates, axis=1)
        return table


class WindowEncoder(Protocol):
    """Encodes one window at a time; may be called from several threads."""

    def encode(self, log_mel: Floats) -> Floats:
        """Encoder frames (T, D) of a window (M, F), T = F / 2."""
        ...


class TokenRouter(Protocol):
    """Sends audio tokens through their experts; may be called from several threads."""

    def route(self, tokens: Floats) -> RoutedTokens:
        """What the adapter makes of tokens (A, stack * D)."""
        ...
