"""The border between the engine's loop and the arithmetic.

A backend owns the decoder's weights and the KV cache. It knows slots and tokens, not requests:
sampling, endings and order are the engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from eureka.engine.request import Floats, Ids


@dataclass(frozen=True, slots=True, eq=False)
class Prefill:
    """A chunk of a prompt on its way into a slot; often the whole prompt.

    Attributes:
        slot: a slot that holds exactly `start` tokens.
        prompt_ids: (L,) int64, the chunk's own, at least one.
        audio_positions: (A,) indices within the chunk of the positions that hold audio.
        audio_embeddings: (A, W) float32, the chunk's own, written at these positions unscaled.
        start: tokens that the slot holds already, which is the position of the chunk's first token.
    """

    slot: int
    prompt_ids: Ids
    audio_positions: Ids
    audio_embeddings: Floats
    start: int = 0


class SavedPrefix(Protocol):
    """Keys and values of a sequence's first tokens, copied out of a slot; only its backend can read it.

    It stays as it was saved, whatever becomes of the slot, and may be loaded any number of times.
    """

    @property
    def num_tokens(self) -> int:
        """Tokens that a slot holds after loading it."""
        ...

    @property
    def num_bytes(self) -> int:
        """Memory it takes."""
        ...


@dataclass(frozen=True, slots=True)
class StepChoice:
    """How a row's next tokens are chosen without the sampler between them.

    Attributes:
        temperature: 0 takes the largest logit.
        top_k: only the k largest logits and their ties can be drawn; 0 for all.
        draws: a number in [0, 1) for each step; not looked at without temperature.
        repetition_penalty: on ids of `seen_ids`; other than 1 for a `ChoosingBackend` only.
        seen_ids: different ids of the sequence up to here, in an order that only grows; None where no penalty
            looks at them.
    """

    temperature: float
    top_k: int
    draws: tuple[float, ...]
    repetition_penalty: float = 1.0
    seen_ids: Ids | None = field(default=None, compare=False)


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
        """Append each chunk to what its slot holds; logits (n, V) float32 after each chunk's last token."""
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

    def save_prefix(self, slot: int, num_tokens: int) -> SavedPrefix:
        """Copy of the first `num_tokens` tokens of `slot`, at most what it holds; the slot stays as it is."""
        ...

    def load_prefix(self, slot: int, prefix: SavedPrefix) -> None:
        """Fill `slot`, which holds nothing, with a saved prefix; it then holds `prefix.num_tokens` tokens."""
        ...

    def release(self, slot: int) -> None:
        """Forget what `slot` holds."""
        ...


@runtime_checkable
class ManyStepsBackend(Protocol):
    """A backend that can also decode several tokens in one call."""

    def decode_steps(
        self, slots: Sequence[int], token_ids: Sequence[int], choices: Sequence[StepChoice], end_token_id: int
    ) -> list[list[int]]:
        """Append a token to each slot, choose the next, append that, and so on, a step for each draw.

        All choices have as many draws. Returns the chosen ids of each slot; the last may be `end_token_id`,
        behind which a row does not go. A row with a logit that is no number ends before that step. The slots
        hold what they held: `keep_steps` says how much of it is to stay.
        """
        ...

    def keep_steps(self, slot: int, num_tokens: int) -> None:
        """Let `slot` hold so many tokens more of what `decode_steps` appended."""
        ...


@runtime_checkable
class ChoosingBackend(ManyStepsBackend, Protocol):
    """A backend that is to choose tokens wherever it can: fetching logits from it costs more than a step.

    It knows repetition penalties, and single steps go by `decode_steps`, too.
    """

    @property
    def most_top_k(self) -> int:
        """Requests that keep more logits than so many, but not all, are not for it."""
        ...
