"""Running: a request that owns a slot, and what has become of it so far."""

from __future__ import annotations

from dataclasses import dataclass

from eureka.engine.handle import RequestHandle
from eureka.engine.repetition import RepetitionDetector
from eureka.engine.request import Label, Request
from eureka.types import Ending, Usage


@dataclass(slots=True, eq=False)
class Running:
    """Mutable state of one slot's request; only the engine touches it.

    `labels` is empty but for closed-set requests. Times are the engine clock's.
    """

    slot: int
    request: Request
    handle: RequestHandle
    labels: tuple[Label, ...]
    repetition: RepetitionDetector
    arrived: float
    started: float
    prefilled: float = 0.0
    last_token: int = -1
    num_generated: int = 0

    def take(self, token_id: int, end_token_id: int) -> Ending | None:
        """Note a sampled token; the ending it brings about, if any."""
        if token_id == end_token_id:
            return Ending.STOP
        self.last_token = token_id
        self.num_generated += 1
        if self.request.stop is not None and self.request.stop.push(token_id):
            return Ending.STOP
        if self.repetition.push(token_id):
            return Ending.REPETITION
        if self.num_generated >= self.request.sampling.max_new_tokens:
            return Ending.LENGTH
        return None

    def usage(self, now: float) -> Usage:
        """Tokens and wall seconds by phase."""
        prefilled = self.prefilled or now
        seconds = {
            "wait": self.started - self.arrived,
            "prefill": prefilled - self.started,
            "decode": now - prefilled,
        }
        return Usage(self.request.num_prompt_tokens, self.num_generated, seconds)
