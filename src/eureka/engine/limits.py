"""EngineLimits: bounds of the engine's own behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field

from eureka.engine.repetition import RepetitionRule
from eureka.errors import InvalidInputError

_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """How much the engine takes on, and how it shares it out.

    Attributes:
        max_waiting: requests that may wait for a slot; more are refused with QueueFullError.
        probe_slots: slots that only requests of Priority.PROBE may take, so that health probes are answered
            however long the others run.
        max_step_prefill_tokens: prompt tokens prefilled in one step, at least 1. Longer prompts go on in the
            next steps, so this bounds how long running answers wait for a newcomer's prompt.
        max_held_tokens: prompt and new tokens, at their most, of all requests in slots together, for backends
            whose slots share memory; None where each slot has its whole context.
        max_paused_bytes: once paused requests take so much memory, no other is paused.
        prefix_cache_bytes: memory for prompts up to the end of their audio, for later questions about the
            same audio; 0 keeps none.
        ageing_seconds: a request that more urgent ones have kept from decoding for so long goes before them,
            one such request at a time and this time apart.
        batch_invariant: prefill one request at a time in chunks that end at fixed places, so that its results
            are the same bytes whatever else runs.
        repetition: what counts as a loop.
    """

    max_waiting: int = 1024
    probe_slots: int = 0
    max_step_prefill_tokens: int = 256
    max_held_tokens: int | None = None
    max_paused_bytes: int = 1024 * _MEBIBYTE
    prefix_cache_bytes: int = 64 * _MEBIBYTE
    ageing_seconds: float = 5.0
    batch_invariant: bool = False
    repetition: RepetitionRule = field(default_factory=RepetitionRule)

    def __post_init__(self) -> None:
        if self.max_step_prefill_tokens < 1:
            raise InvalidInputError(
                f"max_step_prefill_tokens is {self.max_step_prefill_tokens}; it must be at least 1"
            )

    @property
    def chunk_tokens(self) -> int | None:
        """Length of chunks with `batch_invariant`, else None; they end at its multiples and with the prompt.

        Half of what a step prefills, so that two requests can go on in each step.
        """
        return max(1, self.max_step_prefill_tokens // 2) if self.batch_invariant else None
