"""SlotLengths: what all backends know of their slots, whatever their arithmetic."""

from __future__ import annotations

import numpy as np

from eureka.model.config import DecoderConfig


class SlotLengths:
    """Sizes of a backend, and how many tokens each slot holds; `Backend` says what they mean.

    Args:
        config: of the language model.
        num_slots: sequences held at once.
        context_tokens: longest sequence, at most the checkpoint's max_position_embeddings.
    """

    def __init__(self, config: DecoderConfig, num_slots: int, context_tokens: int) -> None:
        self._config, self._num_slots = config, num_slots
        self._context_tokens = min(context_tokens, config.max_position_embeddings)
        self._lengths = np.zeros(num_slots, dtype=np.int64)

    @property
    def num_slots(self) -> int:
        """Sequences that can be held at once."""
        return self._num_slots

    @property
    def context_tokens(self) -> int:
        """Longest sequence of a slot."""
        return self._context_tokens

    @property
    def vocab_size(self) -> int:
        """V, rows of the embedding table."""
        return self._config.vocab_size

    @property
    def embedding_width(self) -> int:
        """W, the decoder's width."""
        return self._config.hidden_size
