"""The engine: admits requests into slots and decodes all of them together, step by step.

One step is: end what was cancelled or is late, admit, prefill, decode, sample, emit, free. The engine does
not know text or audio; it has no thread of its own (see `runner`). Every accepted request gets exactly
one ending, whatever the backend does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from eureka.engine.backend import Backend, Prefill
from eureka.engine.clock import Clock, MonotonicClock
from eureka.engine.handle import RequestHandle
from eureka.engine.logprobs import token_logprobs
from eureka.engine.repetition import RepetitionDetector, RepetitionRule
from eureka.engine.request import (
    Delta,
    Floats,
    Label,
    LabelScores,
    Request,
    check_labels,
    check_request,
)
from eureka.engine.running import Running
from eureka.engine.sampler import RELEASED_REPETITION_PENALTY, Sampler
from eureka.engine.scoring import score_labels
from eureka.engine.slots import SlotPool
from eureka.engine.stats import EngineCounters, EngineStats
from eureka.engine.waiting import Waiting, WaitingLine
from eureka.errors import AlreadyExistsError, PromptTooLongError
from eureka.types import Ending, Usage

_log = logging.getLogger(__name__)

_HANDLE_WAIT_SECONDS = 1.0
"""How long a handle sleeps before it looks again whether a thread still drives the engine."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds of the engine's own behaviour.

    Attributes:
        max_waiting: requests that may wait for a slot; more are refused with QueueFullError.
        probe_slots: slots that only requests of Priority.PROBE may take, so that health probes are answered
            however long the others run.
        max_prefill_tokens: prompt tokens, padding counted, prefilled in one forward pass; a longer prompt
            goes alone.
        repetition: what counts as a loop.
    """

    max_waiting: int = 1024
    probe_slots: int = 0
    max_prefill_tokens: int = 8192
    repetition: RepetitionRule = field(default_factory=RepetitionRule)


class Engine:
    """Continuous batching over the slots of a backend.

    Thread-safe: `submit`, `cancel` and `stats` return at once even while another thread is in `step`.

    Args:
        backend: the arithmetic; used by one step at a time.
        end_token_id: the token that ends an answer; it is never part of a delta.
        clock: source of time for deadlines and usage.
        limits: queue length and the like.
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
        self._slots = SlotPool(backend.num_slots)
        self._sampler = Sampler(backend.num_slots, backend.vocab_size, repetition_penalty)
        self._waiting = WaitingLine(self.limits.max_waiting)
        self._running: dict[int, Running] = {}
        self._cancelled: set[str] = set()
        self._live: set[str] = set()
        self._counters = EngineCounters()
        self._changed = threading.Condition()  # guards all of the above but the arithmetic
        self._stepping = threading.Lock()
        self._is_driven = False

    def submit(self, request: Request) -> RequestHandle:
        """Accept a request and return the handle that yields its deltas.

        Raises:
            InvalidInputError: the request itself is wrong.
            PromptTooLongError: prompt and new tokens exceed the backend's context.
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
            if request_id not in self._live:
                return False
            for entry in self._waiting.remove_where(lambda e: e.request.request_id == request_id):
                self._end_waiting(entry, Ending.CANCELLED)
                return True
            self._cancelled.add(request_id)
            self._changed.notify_all()
            return True

    def stats(self) -> EngineStats:
        """State and totals now."""
        with self._changed:
            return EngineStats(
                num_waiting=len(self._waiting),
                num_running=len(self._running),
                num_slots=self._slots.num_slots,
                num_steps=self._counters.num_steps,
                prefilled_tokens=self._counters.prefilled_tokens,
                generated_tokens=self._counters.generated_tokens,
                endings=dict(self._counters.endings),
            )

    def step(self) -> bool:
        """One turn of the engine; False when nothing was left to do before or after it."""
        with self._stepping:
            self._end_cancelled_and_late()
            admitted = self._admit()
            had_work = bool(admitted or self._running)
            for batch in self._prefill_batches(admitted):
                self._prefill(batch)
            if self._running:
                self._decode(list(self._running.values()))
            with self._changed:
                is_idle = not self._running and not len(self._waiting)
                if is_idle:
                    self._check_idle()
            return had_work or not is_idle

    # -- admission ---------------------------------------------------------------------------------

    def _accept(self, request: Request, labels: tuple[Label, ...]) -> RequestHandle:
        check_request(request, self.backend.vocab_size, self.backend.embedding_width)
        self._check_context(request, labels)
        handle = RequestHandle(request.request_id, self._advance, self.cancel)
        with self._changed:
            if request.request_id in self._live:
                raise AlreadyExistsError(f"request {request.request_id} is waiting or running already")
            self._waiting.add(Waiting(request, handle, self.clock.now(), labels))
            self._live.add(request.request_id)
            self._changed.notify_all()
        return handle

    def _check_context(self, request: Request, labels: tuple[Label, ...]) -> None:
        prompt, limit = request.num_prompt_tokens, self.backend.context_tokens
        new = request.sampling.max_new_tokens
        if labels:
            new = 1 + max(len(label.token_ids) for label in labels)  # 1 for the end token
        if prompt + new > limit:
            raise PromptTooLongError(
                f"{prompt} prompt tokens and {new} new tokens exceed the context of {limit};"
                " send less audio or text, or ask for fewer new tokens"
            )

    def _admit(self) -> list[Running]:
        admitted = []
        with self._changed:
            while entry := self._waiting.pop(self._slots.num_free, self.limits.probe_slots):
                running = Running(
                    slot=self._slots.take(),
                    request=entry.request,
                    handle=entry.handle,
                    labels=entry.labels,
                    repetition=RepetitionDetector(self.limits.repetition),
                    arrived=entry.arrived,
                    started=self.clock.now(),
                )
                self._running[running.slot] = running
                admitted.append(running)
        return admitted

    # -- arithmetic --------------------------------------------------------------------------------

    def _prefill_batches(self, admitted: list[Running]) -> list[list[Running]]:
        """Groups of similar length, each within max_prefill_tokens when padded to its longest."""
        batches: list[list[Running]] = []
        for running in sorted(admitted, key=lambda r: -r.request.num_prompt_tokens):
            last = batches[-1] if batches else None
            if last and last[0].request.num_prompt_tokens * (len(last) + 1) <= self.limits.max_prefill_tokens:
                last.append(running)
            else:
                batches.append([running])
        return batches

    def _prefill(self, batch: list[Running]) -> None:
        try:
            logits = self.backend.prefill([_to_prefill(running) for running in batch])
        except Exception:
            self._fail(batch, "prefill_failed")
            return
        now = self.clock.now()
        for running in batch:
            running.prefilled = now
        self._counters.num_steps += 1
        self._counters.prefilled_tokens += sum(r.request.num_prompt_tokens for r in batch)
        open_ended = [row for row, running in enumerate(batch) if not running.labels]
        for row, running in enumerate(batch):
            if running.labels:
                self._score(running, logits[row])
            else:
                self._sampler.admit(running.slot, running.request.prompt_ids, running.request.sampling)
        self._sample([batch[row] for row in open_ended], logits[open_ended])

    def _decode(self, batch: list[Running]) -> None:
        try:
            logits = self.backend.decode([r.slot for r in batch], [r.last_token for r in batch])
        except Exception:
            self._fail(batch, "decode_failed")
            return
        self._counters.num_steps += 1
        self._sample(batch, logits)

    def _sample(self, batch: list[Running], logits: Floats) -> None:
        is_number = ~np.isnan(logits).any(axis=-1)
        self._fail([r for r, good in zip(batch, is_number, strict=True) if not good], "logits_not_a_number")
        batch = [r for r, good in zip(batch, is_number, strict=True) if good]
        if not batch:
            return
        logits = logits[is_number]
        token_ids = self._sampler.sample([r.slot for r in batch], logits)
        for running, token_id, row in zip(batch, token_ids, logits, strict=True):
            ending = running.take(token_id, self.end_token_id)
            delta = Delta() if token_id == self.end_token_id else _delta(running, token_id, row)
            self._counters.generated_tokens += len(delta.token_ids)
            if ending is None:
                running.handle.put(delta)
            else:
                self._end(running, ending, delta)

    def _score(self, running: Running, first_logits: Floats) -> None:
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
        with self._changed:
            now = self.clock.now()
            cancelled, self._cancelled = self._cancelled, set()
            for entry in self._waiting.remove_where(lambda e: _is_late(e.request, now)):
                self._end_waiting(entry, Ending.DEADLINE)
        for running in list(self._running.values()):
            if running.request.request_id in cancelled:
                self._end(running, Ending.CANCELLED)
            elif _is_late(running.request, now):
                self._end(running, Ending.DEADLINE)

    def _end_waiting(self, entry: Waiting, ending: Ending) -> None:
        """End a request that never ran; called with the lock held."""
        self._live.discard(entry.request.request_id)
        self._counters.endings[ending] += 1
        waited = {"wait": self.clock.now() - entry.arrived}
        entry.handle.put(Delta((), ending, Usage(entry.request.num_prompt_tokens, 0, waited)))

    def _end(self, running: Running, ending: Ending, delta: Delta | None = None) -> None:
        """Free the slot, then tell the caller, with the last tokens in `delta`."""
        self.backend.release(running.slot)
        self._sampler.release(running.slot)
        with self._changed:
            del self._running[running.slot]
            self._slots.give_back(running.slot)
            self._live.discard(running.request.request_id)
            self._cancelled.discard(running.request.request_id)
            self._counters.endings[ending] += 1
        usage = running.usage(self.clock.now())
        running.handle.put(replace(delta or Delta(), ending=ending, usage=usage))

    def _fail(self, batch: list[Running], event: str) -> None:
        if not batch:
            return
        _log.error(event, exc_info=True, extra={"request_ids": [r.request.request_id for r in batch]})
        for running in batch:
            self._end(running, Ending.ERROR)

    def end_all(self, ending: Ending) -> None:
        """End whatever waits or runs, with one ending; for shutdown."""
        with self._stepping:
            with self._changed:
                for entry in self._waiting.remove_where(lambda _: True):
                    self._end_waiting(entry, ending)
            for running in list(self._running.values()):
                self._end(running, ending)

    # -- driving -----------------------------------------------------------------------------------

    def drive_by_runner(self, is_driven: bool) -> None:
        """Tell handles whether a thread takes the steps (they wait) or nobody does (they step)."""
        with self._changed:
            self._is_driven = is_driven

    def wait_for_work(self, timeout_seconds: float) -> None:
        """Sleep until something waits or runs, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._live), timeout_seconds)

    def wake(self) -> None:
        """Cut `wait_for_work` short."""
        with self._changed:
            self._changed.notify_all()

    def _advance(self, handle: RequestHandle) -> None:
        if self._is_driven:
            handle.wait(_HANDLE_WAIT_SECONDS)
        else:
            self.step()

    def _check_idle(self) -> None:
        """Assert that an idle engine owns nothing."""
        self._slots.check()
        assert self._slots.num_used == 0 and not self._live, "an idle engine still owns slots or requests"


def _is_late(request: Request, now: float) -> bool:
    return request.deadline is not None and request.deadline <= now


def _delta(running: Running, token_id: int, logits: Floats) -> Delta:
    """One new token; `logits` (V,) are those it was chosen from, before temperature and penalties."""
    num_top = running.request.sampling.top_logprobs
    return Delta((token_id,), logprobs=(token_logprobs(logits, token_id, num_top),) if num_top else ())


def _to_prefill(running: Running) -> Prefill:
    request = running.request
    return Prefill(running.slot, request.prompt_ids, request.audio_positions, request.audio_embeddings)
