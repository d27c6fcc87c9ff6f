"""The border between the engine's loop and the arithmetic.

A backend owns the decoder's weights and the KV cache. It knows slots and tokens, not requests:
sampling, endings and order are the engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eureka.engine.request import Floats, Ids


@dataclass(frozen=True, slots=True, eq=False)
class Prefill:
    """A prompt on its way into a slot.

    Attributes:
        slot: a slot that holds nothing.
        prompt_ids: (L,) int64.
        audio_positions: (A,) indices of the prompt positions that hold audio.
        audio_embeddings: (A, W) float32, written at these positions unscaled.
    """

    slot: int
    prompt_ids: Ids
    audio_positions: Ids
    audio_embeddings: Floats


class Backend(Protocol):
    """Prefill and decode over slots. Not thread-safe: one step at a time."""

    @property
    def num_slots(self) -> int:
        """Sequences that can be held at once."""
        ...

    @property
    def context_tokens(self) -> int:
        """Longest sequence of a slot, prompt and generated tokens together."""
        ...

    @property
    def vocab_size(self) -> int:
        """V, the width of the logits."""
        ...

    @property
    def embedding_width(self) -> int:
        """W, the width of audio embeddings."""
        ...

    def prefill(self, prefills: Sequence[Prefill]) -> Floats:
        """Run prompts and fill their slots; logits (n, V) float32 after each prompt's last token."""
        ...

    def decode(self, slots: Sequence[int], token_ids: Sequence[int]) -> Floats:
        """Append one token to each slot; logits (n, V) float32 after it, in the order given."""
        ...

    def continuation_log_probabilities(
        self, slot: int, continuations: Sequence[Sequence[int]]
    ) -> list[NDArray[np.float64]]:
        """Log-probabilities of several continuations of what `slot` holds; the slot stays as it is.

        Returns one array (T - 1,) for each continuation of T tokens: the log-probability of token t
        after the prefix and tokens 0 to t-1, for t = 1 to T-1. Token 0 is judged by the logits that
        `prefill` gave.
        """
        ...

    def release(self, slot: int) -> None:
        """Forget what `slot` holds."""
        ...
