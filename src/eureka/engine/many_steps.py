"""Several decoding steps in one call of a backend that can, where nothing between them needs a look.

What comes out is what single steps would give: the same rules choose each token, and what a request's own
ending makes superfluous is dropped. A call is short in time, so that cancelling, deadlines and newcomers wait
no longer than they would for a step of a large model.
"""

from __future__ import annotations

from collections.abc import Sequence

from eureka.engine.backend import Backend, ChoosingBackend, ManyStepsBackend
from eureka.engine.clock import Clock
from eureka.engine.live import LiveRequest
from eureka.engine.request import Floats
from eureka.engine.sampler import Sampler

MAX_STEPS = 16
_CALL_SECONDS = 0.004
"""How long a call may take, by the time of the steps before it."""


class ManySteps:
    """Decides how many steps may go in one call, and makes them.

    Args:
        backend: one that cannot do it gets one step at a time.
        sampler: knows what each sequence asks for.
        clock: times the steps.
    """

    def __init__(self, backend: Backend, sampler: Sampler, clock: Clock) -> None:
        self._single = backend
        self._backend = backend if isinstance(backend, ManyStepsBackend) else None
        self._most_top_k = backend.most_top_k if isinstance(backend, ChoosingBackend) else None
        self._sampler, self._clock = sampler, clock
        self._step_seconds = _CALL_SECONDS  # so that the first call is one of a single step

    def parts(self, batch: list[LiveRequest]) -> list[list[LiveRequest]]:
        """The batch as it is decoded: apart those for whom a backend that chooses by itself cannot."""
        if self._most_top_k is None:
            return [batch]
        parts: tuple[list[LiveRequest], list[LiveRequest]] = ([], [])
        for live in batch:
            parts[0 if self._is_plain(live) else 1].append(live)
        return [part for part in parts if part]

    def count(self, batch: Sequence[LiveRequest], most: int = MAX_STEPS) -> int:
        """Steps, at most `most`, that the batch may take in one call; 0 where each has to be looked at.

        A single step is a call for a backend that chooses by itself anyway.
        """
        if self._backend is None or not all(self._is_plain(live) for live in batch):
            return 0
        left = min(live.request.sampling.max_new_tokens - live.num_generated for live in batch)
        count = max(1, min(most, left, int(_CALL_SECONDS / max(self._step_seconds, 1e-6))))
        return 0 if count == 1 and self._most_top_k is None else count

    def decode_one(self, batch: Sequence[LiveRequest]) -> Floats:
        """One step; logits (n, V)."""
        began = self._clock.now()
        logits = self._single.decode([live.slot for live in batch], [live.last_token for live in batch])
        self._step_seconds = self._clock.now() - began
        return logits

    def decode(self, batch: Sequence[LiveRequest], count: int, end_token_id: int) -> list[list[int]]:
        """The next ids of each request, at most `count`; fewer where it ended or met what is no number."""
        assert self._backend is not None
        slots = [live.slot for live in batch]
        choices = [self._sampler.choose_ahead(slot, count) for slot in slots]
        began = self._clock.now()
        answers = self._backend.decode_steps(
            slots, [live.last_token for live in batch], choices, end_token_id
        )
        self._step_seconds = (self._clock.now() - began) / count
        for slot, ids in zip(slots, answers, strict=True):
            self._backend.keep_steps(slot, len(ids))
            self._sampler.chose_ahead(slot, count, ids)
        return answers

    def _is_plain(self, live: LiveRequest) -> bool:
        asks_nothing = live.request.constraint is None and not live.request.sampling.top_logprobs
        return asks_nothing and self._sampler.can_choose_ahead(live.slot, self._most_top_k)
