"""The engine: admits requests into slots and decodes all of them together, step by step.

One step is: end what was cancelled or is late; admit, pausing what is less urgent; one decoding pass over all
whose prompt is through; then prompts, as far as a step's budget goes. The engine does not know text or audio;
it has no thread of its own (see `runner`). Every accepted request gets exactly one ending, whatever the
backend does. Who comes when is the affair of `scheduler`.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eureka.engine.backend import Backend
from eureka.engine.chunks import Chunk, batches_of
from eureka.engine.clock import Clock, MonotonicClock
from eureka.engine.handle import RequestHandle
from eureka.engine.limits import EngineLimits
from eureka.engine.live import NO_SLOT, LiveRequest, accept, check_context
from eureka.engine.many_steps import MAX_STEPS, ManySteps
from eureka.engine.parking import Parking
from eureka.engine.prefix_cache import PrefixCache
from eureka.engine.request import (
    Delta,
    Floats,
    Label,
    LabelScores,
    Request,
    check_labels,
    check_request,
)
from eureka.engine.sampler import NOTHING_ALLOWED, RELEASED_REPETITION_PENALTY, Sampler
from eureka.engine.scheduler import Scheduler
from eureka.engine.scoring import are_numbers, score_labels
from eureka.engine.stats import EngineCounters, EngineStats, read_stats
from eureka.errors import AlreadyExistsError
from eureka.types import Ending

__all__ = ["Engine", "EngineLimits"]

_log = logging.getLogger(__name__)

_NO_LOGITS: Floats = np.zeros(0, np.float32)

_HANDLE_WAIT_SECONDS = 1.0
"""How long a handle sleeps before it looks again whether a thread still drives the engine."""


class Engine:
    """Continuous batching over the slots of a backend.

    Thread-safe: `submit`, `cancel` and `stats` return at once even while another thread is in `step`.

    Args:
        backend: the arithmetic; used by one step at a time.
        end_token_id: the token that ends an answer; it is never part of a delta.
        clock: source of time for deadlines and usage.
        limits: length of the line, budget of a step and the like.
        repetition_penalty: of requests that name none; the checkpoint's own.
    """

    def __init__(
        self,
        backend: Backend,
        end_token_id: int,
        clock: Clock | None = None,
        limits: EngineLimits | None = None,
        repetition_penalty: float = RELEASED_REPETITION_PENALTY,
    ) -> None:
        self.backend = backend
        self.end_token_id = end_token_id
        self.clock = clock or MonotonicClock()
        self.limits = limits or EngineLimits()
        self._sampler = Sampler(backend.num_slots, backend.vocab_size, repetition_penalty)
        self._parking = Parking(backend, self._sampler, PrefixCache(self.limits.prefix_cache_bytes))
        self._many_steps = ManySteps(backend, self._sampler, self.clock)
        self._scheduler = Scheduler(backend.num_slots, self.limits)
        self._cancelled: set[str] = set()
        self._live: dict[str, LiveRequest] = {}
        self._arrivals = itertools.count()
        self._counters = EngineCounters()
        self._changed = threading.Condition()  # guards all of the above but the arithmetic
        self._stepping = threading.Lock()
        self._is_driven = False

    def submit(self, request: Request) -> RequestHandle:
        """Accept a request and return the handle that yields its deltas.

        Raises:
            InvalidInputError: the request itself is wrong.
            PromptTooLongError: prompt and new tokens exceed the backend's context, or `max_held_tokens`.
            AlreadyExistsError: a request of this id is waiting or running.
            QueueFullError: too many wait.
        """
        return self._accept(request, ())

    def submit_score(self, request: Request, labels: Sequence[Label]) -> RequestHandle:
        """Accept a closed-set request; its handle has no tokens, but `scores` at the end.

        The prompt is prefilled once for all labels; the request's sampling plays no part.

        Raises: as `submit`.
        """
        check_labels(tuple(labels), self.backend.vocab_size)
        return self._accept(request, tuple(labels))

    def score(self, request: Request, labels: Sequence[Label]) -> LabelScores:
        """Probabilities of a closed set of answers; see `LabelScores` for the rules.

        Raises:
            CancelledError: cancelled or late; otherwise as `submit`.
        """
        return self.submit_score(request, labels).wait_for_scores()

    def cancel(self, request_id: str) -> bool:
        """End a request with CANCELLED, its slot free within one step; False if it has ended already."""
        with self._changed:
            live = self._live.get(request_id)
            if live is None:
                return False
            if live in self._scheduler.line:
                self._end(live, Ending.CANCELLED)
                return True
            self._cancelled.add(request_id)
            self._changed.notify_all()
            return True

    def stats(self) -> EngineStats:
        """State and totals now."""
        with self._changed:
            return read_stats(self._scheduler, self._counters, self._parking.prefixes.num_bytes)

    def step(self) -> bool:
        """One turn of the engine; False when nothing was left to do before or after it."""
        with self._stepping:
            began = self.clock.now()
            self._end_cancelled_and_late()
            self._admit()
            had_work = bool(self._scheduler.running)
            if had_work:
                self._run_forward()
                self._counters.num_steps += 1
                self._counters.last_step_seconds = self.clock.now() - began
            with self._changed:
                if not self._live:
                    self._scheduler.check_idle()  # an idle engine owns nothing
                    self._parking.prefixes.check()
                return had_work or bool(self._live)

    # -- admission ---------------------------------------------------------------------------------

    def _accept(self, request: Request, labels: tuple[Label, ...]) -> RequestHandle:
        check_request(request, self.backend.vocab_size, self.backend.embedding_width)
        handle = RequestHandle(request.request_id, self._advance, self.cancel)
        live = accept(request, labels, handle, self.limits, self.clock.now())
        check_context(live, self.backend.context_tokens, self.limits.max_held_tokens)
        with self._changed:
            if request.request_id in self._live:
                raise AlreadyExistsError(f"request {request.request_id} is waiting or running already")
            live.arrival = next(self._arrivals)
            self._scheduler.line.add(live)
            self._live[request.request_id] = live
            self._changed.notify_all()
        return handle

    def _admit(self) -> None:
        while True:
            with self._changed:
                admission = self._scheduler.choose_admission(self.clock.now())
            if admission is None:
                return
            for live in admission.leaving:
                self._pause(live)
            self._start(admission.live)

    def _pause(self, live: LiveRequest) -> None:
        """Take a request out of its slot, to go on later where it stands."""
        try:
            self._parking.park(live)
        except Exception:
            self._fail([live], "pause_failed")
            return
        with self._changed:
            live.stop_decoding(self.clock.now())
            self._scheduler.leave_slot(live)
            self._scheduler.line.put_back(live)
            self._counters.num_pauses += 1

    def _start(self, live: LiveRequest) -> None:
        """Give a slot to a request that is new or was paused."""
        now = self.clock.now()
        with self._changed:
            self._scheduler.take_slot(live)
        live.started = now if live.started is None else live.started
        try:
            self._parking.restore(live)
        except Exception:
            self._fail([live], "resume_failed")
            return
        if live.is_prefilled:
            live.begin_decoding(now)

    # -- arithmetic --------------------------------------------------------------------------------

    def _run_forward(self) -> None:
        """One decoding pass, then chunks of prompts; whose prompt ends here decodes from the next step on."""
        decoding = self._scheduler.decoding
        if decoding:
            self._decode(decoding)
        self._reuse_prefixes()
        chunks = self._scheduler.plan_prefill()
        limits = self.limits
        for batch in batches_of(chunks, limits.max_step_prefill_tokens, limits.batch_invariant):
            self._prefill(batch)

    def _reuse_prefixes(self) -> None:
        for live in self._scheduler.prefilling:
            if live.num_prefilled == 0:
                try:
                    self._counters.reused_tokens += self._parking.reuse(live)
                except Exception:
                    self._fail([live], "prefix_not_loaded")

    def _prefill(self, batch: list[Chunk]) -> None:
        batch = [chunk for chunk in batch if chunk.live.slot != NO_SLOT]  # an earlier chunk may have failed
        if not batch:
            return
        try:
            logits = self.backend.prefill([chunk.to_prefill() for chunk in batch])
        except Exception:
            self._fail([chunk.live for chunk in batch], "prefill_failed")
            return
        for chunk, row in zip(batch, logits, strict=True):
            self._counters.prefilled_tokens += chunk.num_tokens
            chunk.live.num_prefilled = chunk.end
            if are_numbers(row):
                self._parking.keep(chunk)
        last = [row for row, chunk in enumerate(batch) if chunk.is_last]
        self._answer([batch[row].live for row in last], logits[last])

    def _answer(self, batch: list[LiveRequest], first_logits: Floats) -> None:
        """Score, or sample the first token of, requests whose prompt is through; logits (n, V) after it."""
        now = self.clock.now()
        for running, row in zip(batch, first_logits, strict=True):
            running.prefilled = now
            running.begin_decoding(now)
            if running.labels:
                self._score(running, row)
            else:
                self._sampler.admit(running.slot, running.request.prompt_ids, running.request.sampling)
        open_ended = [row for row, running in enumerate(batch) if not running.labels]
        self._sample([batch[row] for row in open_ended], first_logits[open_ended])

    def _decode(self, batch: list[LiveRequest]) -> None:
        parts = self._many_steps.parts(batch)
        most = 1 if self._scheduler.prefilling or len(parts) > 1 else MAX_STEPS  # so that all go on alike
        for part in parts:
            self._decode_part(part, most)

    def _decode_part(self, batch: list[LiveRequest], most: int) -> None:
        try:
            count = self._many_steps.count(batch, most)
            if count:
                answers = self._many_steps.decode(batch, count, self.end_token_id)
            else:
                logits = self._many_steps.decode_one(batch)
        except Exception:
            self._fail(batch, "decode_failed")
            return
        if not count:
            self._sample(batch, logits)
            return
        for running, token_ids in zip(batch, answers, strict=True):
            self._take_all(running, token_ids, count)

    def _take_all(self, running: LiveRequest, token_ids: list[int], count: int) -> None:
        """Give the caller what came of `count` steps, as far as the request goes."""
        for token_id in token_ids:
            self._take(running, token_id, _NO_LOGITS)
            if running.slot == NO_SLOT:
                return
        if len(token_ids) < count:  # it did not end, so that its next logits were not numbers
            self._fail([running], "logits_not_a_number")

    def _sample(self, batch: list[LiveRequest], logits: Floats) -> None:
        is_number = are_numbers(logits)
        if not is_number.all():
            self._fail([batch[row] for row in np.flatnonzero(~is_number)], "logits_not_a_number")
            batch = [batch[row] for row in np.flatnonzero(is_number)]
            logits = logits[is_number]
        if not batch:
            return
        token_ids = self._sampler.sample([r.slot for r in batch], logits, [r.mask() for r in batch])
        for running, token_id, row in zip(batch, token_ids, logits, strict=True):
            if token_id == NOTHING_ALLOWED:
                self._fail([running], "no_token_allowed")
                continue
            self._take(running, token_id, row)

    def _take(self, running: LiveRequest, token_id: int, logits: Floats) -> None:
        """Give the caller a token that was chosen from logits (V,), and the ending if it brings one about."""
        try:
            ending = running.take(token_id, self.end_token_id)
        except Exception:
            self._fail([running], "answer_not_followed")
            return
        delta = Delta() if token_id == self.end_token_id else running.delta(token_id, logits)
        self._counters.generated_tokens += len(delta.token_ids)
        if ending is None:
            running.handle.put(delta)
        else:
            self._end(running, ending, delta)

    def _score(self, running: LiveRequest, first_logits: Floats) -> None:
        try:
            sums = score_labels(self.backend, running.slot, first_logits, running.labels, self.end_token_id)
        except Exception:
            self._fail([running], "score_failed")
            return
        if not np.isfinite(sums).all():
            self._fail([running], "logits_not_a_number")
            return
        names = tuple(label.name for label in running.labels)
        running.handle.scores = LabelScores(names, sums, running.usage(self.clock.now()))
        self._end(running, Ending.STOP)

    # -- endings -----------------------------------------------------------------------------------

    def _end_cancelled_and_late(self) -> None:
        with self._changed:  # held throughout: another thread may cancel what waits
            now = self.clock.now()
            cancelled, self._cancelled = self._cancelled, set()
            for live in list(self._live.values()):
                if live.request.request_id in cancelled:
                    self._end(live, Ending.CANCELLED)
                elif live.is_late(now):
                    self._end(live, Ending.DEADLINE)

    def _end(self, live: LiveRequest, ending: Ending, delta: Delta | None = None) -> None:
        """Free the slot, if there is one, then tell the caller, with the last tokens in `delta`."""
        now = self.clock.now()
        with self._changed:
            if live.slot != NO_SLOT:
                self.backend.release(live.slot)
                self._sampler.release(live.slot)
            live.parked = None
            self._scheduler.remove(live, now)
            del self._live[live.request.request_id]
            self._cancelled.discard(live.request.request_id)
            self._counters.endings[ending] += 1
        live.handle.put(replace(delta or Delta(), ending=ending, usage=live.usage(now)))

    def _fail(self, batch: Sequence[LiveRequest], event: str) -> None:
        if not batch:
            return
        _log.error(event, exc_info=True, extra={"request_ids": [r.request.request_id for r in batch]})
        for live in batch:
            self._end(live, Ending.ERROR)

    def end_all(self, ending: Ending) -> None:
        """End whatever waits, runs or is paused, with one ending; for shutdown."""
        with self._stepping, self._changed:
            for live in list(self._live.values()):
                self._end(live, ending)

    # -- driving -----------------------------------------------------------------------------------

    def drive_by_runner(self, is_driven: bool) -> None:
        """Tell handles whether a thread takes the steps (they wait) or nobody does (they step)."""
        with self._changed:
            self._is_driven = is_driven

    def wait_for_work(self, timeout_seconds: float) -> None:
        """Sleep until something waits or runs, `wake` is called, or the time is over."""
        with self._changed:
            if not self._live:
                self._changed.wait(timeout_seconds)

    def wake(self) -> None:
        """Cut `wait_for_work` short."""
        with self._changed:
            self._changed.notify_all()

    def _advance(self, handle: RequestHandle) -> None:
        if self._is_driven:
            handle.wait(_HANDLE_WAIT_SECONDS)
        else:
            self.step()
