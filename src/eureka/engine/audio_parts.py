"""The border between audio and arithmetic: what runs an encoder and what runs an adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from eureka.engine.request import Floats, Ids


@dataclass(frozen=True, slots=True, eq=False)
class RoutedTokens:
    """What an adapter made of A audio tokens.

    Attributes:
        audio_embeddings: (A, W) float32.
        selected: (A, k) experts that served each token, best first.
        router_probabilities: (A, E) float32, softmax over all experts.
    """

    audio_embeddings: Floats
    selected: Ids
    router_probabilities: Floats


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
