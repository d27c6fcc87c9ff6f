"""LiveRequest: an accepted request from its arrival to its ending, and what has become of it so far."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eureka.engine.backend import SavedPrefix
from eureka.engine.handle import RequestHandle
from eureka.engine.limits import EngineLimits
from eureka.engine.logprobs import token_logprobs
from eureka.engine.prefix_cache import AudioPrefix, audio_prefix
from eureka.engine.repetition import RepetitionDetector
from eureka.engine.request import Delta, Floats, Ids, Label, Request
from eureka.engine.sampler import SequenceState
from eureka.errors import PromptTooLongError
from eureka.types import Ending, Usage

_log = logging.getLogger(__name__)

NO_SLOT = -1
"""`slot` of a request that waits or is paused."""


@dataclass(frozen=True, slots=True, eq=False)
class Parked:
    """What a paused request had in its slot; None where it had nothing of the kind yet."""

    prefix: SavedPrefix | None
    sampler: SequenceState | None


@dataclass(slots=True, eq=False)
class LiveRequest:
    """Mutable state of a request; only the engine touches it.

    It waits, prefills in a slot, decodes there, and may be paused in between. Times are the engine clock's.

    Attributes:
        arrival: number in the order of arrival.
        labels: empty but for closed-set requests.
        audio_positions: the request's own, found once.
        prefix: what it shares with other questions on its audio; None where it shares nothing.
        num_prefilled: prompt tokens run so far, whether its slot holds them or `parked`.
        parked: set while it is paused.
        idle_since: since when it has not been decoding; None while it is.
        idle_seconds: what it spent so before that.
    """

    request: Request
    handle: RequestHandle
    labels: tuple[Label, ...]
    repetition: RepetitionDetector
    arrived: float
    audio_positions: Ids
    prefix: AudioPrefix | None
    idle_since: float | None
    arrival: int = 0
    idle_seconds: float = 0.0
    slot: int = NO_SLOT
    parked: Parked | None = None
    num_prefilled: int = 0
    started: float | None = None
    prefilled: float | None = None
    last_token: int = -1
    num_generated: int = 0

    @property
    def priority(self) -> int:
        """The request's own."""
        return self.request.priority

    @property
    def num_new_tokens(self) -> int:
        """Tokens that may follow its prompt; 1 of a label's is the end token."""
        if self.labels:
            return 1 + max(len(label.token_ids) for label in self.labels)
        return self.request.sampling.max_new_tokens

    @property
    def num_needed_tokens(self) -> int:
        """Tokens that its slot may come to hold."""
        return self.request.num_prompt_tokens + self.num_new_tokens

    @property
    def num_left_tokens(self) -> int:
        """Prompt tokens that are still to be prefilled."""
        return self.request.num_prompt_tokens - self.num_prefilled

    @property
    def num_held_tokens(self) -> int:
        """Tokens that its slot holds; the last one generated is appended by the next decoding step."""
        return self.num_prefilled + max(0, self.num_generated - 1)

    @property
    def is_prefilled(self) -> bool:
        """Whether the whole prompt has been run."""
        return self.num_left_tokens == 0

    @property
    def is_paused(self) -> bool:
        """Whether it had a slot and has none now."""
        return self.parked is not None

    def is_late(self, now: float) -> bool:
        """Whether its deadline has passed."""
        return self.request.deadline is not None and self.request.deadline <= now

    def idle(self, now: float) -> float:
        """Seconds in which it has not been decoding."""
        return self.idle_seconds + (0.0 if self.idle_since is None else now - self.idle_since)

    def begin_decoding(self, now: float) -> None:
        """It decodes from now on."""
        self.idle_seconds, self.idle_since = self.idle(now), None

    def stop_decoding(self, now: float) -> None:
        """It does not decode from now on, if it did."""
        if self.idle_since is None:
            self.idle_since = now

    def take(self, token_id: int, end_token_id: int) -> Ending | None:
        """Note a sampled token; the ending it brings about, if any."""
        if token_id == end_token_id:
            return Ending.STOP
        self.last_token = token_id
        self.num_generated += 1
        if self.request.stop is not None and self.request.stop.push(token_id):
            return Ending.STOP
        if self.request.constraint is not None and self.request.constraint.push(token_id):
            return Ending.STOP
        if self.request.constraint is None and self.repetition.push(token_id):
            return Ending.REPETITION  # a form may well ask for the same thing many times
        if self.num_generated >= self.request.sampling.max_new_tokens:
            return Ending.LENGTH
        return None

    def mask(self) -> NDArray[np.bool_] | None:
        """Ids that its constraint lets come next, none where it cannot say; None without one."""
        try:
            return None if self.request.constraint is None else self.request.constraint.mask()
        except Exception:
            _log.exception("constraint_failed", extra={"request_id": self.request.request_id})
            return np.zeros(0, dtype=np.bool_)

    def delta(self, token_id: int, logits: Floats) -> Delta:
        """One new token; `logits` (V,) are those it was chosen from, before temperature and penalties."""
        num_top = self.request.sampling.top_logprobs
        return Delta((token_id,), logprobs=(token_logprobs(logits, token_id, num_top),) if num_top else ())

    def usage(self, now: float) -> Usage:
        """Tokens and wall seconds by phase; a pause counts into the phase it interrupts."""
        num_prompt_tokens = self.request.num_prompt_tokens
        if self.started is None:
            return Usage(num_prompt_tokens, 0, {"wait": now - self.arrived})
        prefilled = now if self.prefilled is None else self.prefilled
        seconds = {
            "wait": self.started - self.arrived,
            "prefill": prefilled - self.started,
            "decode": now - prefilled,
        }
        return Usage(num_prompt_tokens, self.num_generated, seconds)


def accept(
    request: Request, labels: tuple[Label, ...], handle: RequestHandle, limits: EngineLimits, now: float
) -> LiveRequest:
    """A request as it arrives."""
    return LiveRequest(
        request=request,
        handle=handle,
        labels=labels,
        repetition=RepetitionDetector(limits.repetition),
        arrived=now,
        audio_positions=request.audio_positions,
        prefix=audio_prefix(request, limits.chunk_tokens or 1) if limits.prefix_cache_bytes > 0 else None,
        idle_since=now,
    )


def check_context(live: LiveRequest, context_tokens: int, max_held_tokens: int | None) -> None:
    """Refuse a request that no slot can hold.

    Raises:
        PromptTooLongError: prompt and new tokens exceed the context or what all slots may hold together.
    """
    prompt, new = live.request.num_prompt_tokens, live.num_new_tokens
    limit = min(context_tokens, max_held_tokens or context_tokens)
    if prompt + new > limit:
        raise PromptTooLongError(
            f"{prompt} prompt tokens and {new} new tokens exceed the context of {limit};"
            " send less audio or text, or ask for fewer new tokens"
        )
