"""LlmDecoder: engine, its thread, and the thread that carries deltas away; behind the model llm_decoder.

Each call gets a sender and exactly one final on it, whatever happens: an answer's ending, an error, or the
ending that shutting down gives it.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eureka.engine.backend import Backend
from eureka.engine.choice import BackendChoice, open_backend
from eureka.engine.engine import Engine, EngineLimits
from eureka.engine.handle import RequestHandle
from eureka.engine.messages import SIGN_OF_LIFE_SECONDS, DecoderCall
from eureka.engine.request import Request, check_sampling
from eureka.engine.runner import EngineRunner
from eureka.engine.stats import EngineStats
from eureka.errors import EurekaError, StageUnavailableError
from eureka.model.load_plan import plan_load
from eureka.serving.answer_stream import AnswerStream, Sender
from eureka.text.constraints import ConstraintCompiler
from eureka.text.stop import StopStrings
from eureka.text.tokenizer import Tokenizer
from eureka.types import SamplingParams

_log = logging.getLogger(__name__)

_REPORT_SECONDS = 0.25
"""How often the engine's state is given away while it works."""

_IDLE_WAIT_SECONDS = 0.25
"""How long the emitter sleeps at most while no answer is open."""

_PROBE_SLOTS = 1
"""Slots that health probes have for themselves; each is one step long."""

_POLLS_A_PASS = 8
"""Callers asked in one pass whether they want more. Each question is a way to the server and back, 0.3 ms
on a busy machine: with all of 64 open answers asked at once, new tokens would wait for them."""


@dataclass(frozen=True, slots=True)
class DecoderOptions:
    """How an `LlmDecoder` serves.

    Attributes:
        num_slots: requests decoded at once; health probes have a slot more.
        max_waiting: requests that may wait for a slot; more are refused with QueueFullError.
        context_tokens: longest prompt and answer together, at most the checkpoint's own.
        flush_seconds: tokens of an answer are gathered for at least so long, but for its first and its end.
        max_responses_a_second: of all answers together; where many run, each gathers longer. A response costs
            about 1 ms of processor time on its way through server, services and client, as much as some
            tokens of a small model; at most some 3,500 a second get through at all.
        drain_seconds: how long `close` lets answers run on before it cancels them.
    """

    num_slots: int = 8
    max_waiting: int = 64
    context_tokens: int = 4096
    flush_seconds: float = 0.02
    max_responses_a_second: float = 160.0
    drain_seconds: float = 5.0


class AnnouncingEngine(Engine):
    """An engine that sets `stepped` after each step, for who waits for news."""

    def __init__(
        self,
        backend: Backend,
        end_token_id: int,
        limits: EngineLimits | None = None,
        repetition_penalty: float = 1.0,
    ) -> None:
        super().__init__(backend, end_token_id, limits=limits, repetition_penalty=repetition_penalty)
        self.stepped = threading.Event()

    def step(self) -> bool:
        """One turn, as `Engine.step`."""
        try:
            return super().step()
        finally:
            self.stepped.set()


class LlmDecoder:
    """Serves calls between `open` and `close`; thread-safe.

    Args:
        engine: decodes; nobody else may take its steps.
        tokenizer: of the checkpoint; finds stop strings and spells constraints.
        options: see there.
        on_stats: is given the engine's state a few times a second from the emitter's thread, for metrics.
    """

    def __init__(
        self,
        engine: AnnouncingEngine,
        tokenizer: Tokenizer,
        options: DecoderOptions | None = None,
        on_stats: Callable[[EngineStats], None] = lambda stats: None,
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._constraints = ConstraintCompiler(tokenizer)
        self._options = options or DecoderOptions()
        self._on_stats = on_stats
        self._streams: list[AnswerStream] = []
        self._is_closing = False
        self._changed = threading.Condition()  # guards the two above
        self._has_stopped = threading.Event()  # the engine takes no more steps
        self._report_time = 0.0
        self._reported: EngineStats | None = None
        self._runner = EngineRunner(engine)
        self._emitter = threading.Thread(target=self._emit, name="emitter", daemon=True)

    @classmethod
    def from_checkpoint(
        cls,
        folder: Path,
        choice: BackendChoice,
        options: DecoderOptions | None = None,
        on_stats: Callable[[EngineStats], None] = lambda stats: None,
    ) -> LlmDecoder:
        """A decoder over a checkpoint's language model.

        Raises:
            InvalidCheckpointError: the folder does not fit.
        """
        options = options or DecoderOptions()
        plan = plan_load(folder)
        num_slots = options.num_slots + _PROBE_SLOTS
        tokenizer = Tokenizer.from_folder(folder)
        engine = AnnouncingEngine(
            open_backend(plan, choice, num_slots, options.context_tokens),
            tokenizer.end_id,
            EngineLimits(
                max_waiting=options.max_waiting,
                probe_slots=_PROBE_SLOTS,
                batch_invariant=choice.batch_invariant,
            ),
            plan.config.repetition_penalty,
        )
        return cls(engine, tokenizer, options, on_stats)

    def open(self) -> None:
        """Start both threads and answer one small request, so that no caller pays for first times."""
        self._runner.__enter__()
        for _ in self._engine.submit(_warm_up_request()):
            pass
        self._prepare_constraints()
        self._report(True)
        self._emitter.start()

    def _prepare_constraints(self) -> None:
        try:
            self._constraints.prepare()
        except EurekaError:
            _log.warning("constraints_unavailable", exc_info=True)  # all else is served

    def stats(self) -> EngineStats:
        """State and totals of the engine."""
        return self._engine.stats()

    def now(self) -> float:
        """Time on the clock that deadlines of requests are on."""
        return self._engine.clock.now()

    def start(self, call: DecoderCall, sender: Sender) -> None:
        """Begin to answer a call; returns at once. `sender` gets exactly one final, also for refusals."""
        try:
            self._accept(call, sender)
        except EurekaError as error:
            sender.fail(error)
        except Exception as error:
            _log.exception("request_not_accepted", extra={"request_id": call.request.request_id})
            sender.fail(error)

    def close(self) -> None:
        """Take no more calls, let answers end for `drain_seconds`, cancel the rest; then all is sent."""
        with self._changed:
            self._is_closing = True
            self._changed.wait_for(lambda: not self._streams, self._options.drain_seconds)
        self._runner.__exit__(None, None, None)  # ends what still waits or runs
        self._has_stopped.set()
        self._engine.stepped.set()
        self._emitter.join()

    def _accept(self, call: DecoderCall, sender: Sender) -> None:
        if not call.labels:  # without the lock, as it may take long
            call = replace(call, request=self._with_conditions(call.request))
        with self._changed:  # held throughout: closing must see the stream or refuse the call
            if self._is_closing:
                raise StageUnavailableError("the decoder is shutting down; try again", reason="SHUTTING_DOWN")
            handle = self._submit(call)
            stream = AnswerStream(handle, sender, SIGN_OF_LIFE_SECONDS, time.monotonic())
            self._streams.append(stream)
        self._engine.stepped.set()

    def _submit(self, call: DecoderCall) -> RequestHandle:
        if call.labels:
            return self._engine.submit_score(call.request, call.labels)
        return self._engine.submit(call.request)

    def _with_conditions(self, request: Request) -> Request:
        """The request with what follows its text: stop strings and constraint."""
        sampling = request.sampling
        check_sampling(sampling)  # before its strings are used
        return replace(
            request,
            stop=StopStrings(self._tokenizer, sampling.stop) if sampling.stop else None,
            constraint=self._constraints.compile(sampling.constraint) if sampling.constraint else None,
        )

    # -- the emitter's thread ----------------------------------------------------------------------

    def _emit(self) -> None:
        while True:
            with self._changed:
                streams = list(self._streams)
            if self._has_stopped.is_set() and not streams:
                return
            self._engine.stepped.wait(self._options.flush_seconds if streams else _IDLE_WAIT_SECONDS)
            self._engine.stepped.clear()
            self._report(any(stream.has_ended for stream in streams))
            self._flush(streams)
            self._poll(streams)

    def _flush(self, streams: Sequence[AnswerStream]) -> None:
        now, options = time.monotonic(), self._options
        num_running = min(len(streams), options.num_slots)
        flush_seconds = max(options.flush_seconds, num_running / options.max_responses_a_second)
        done = [stream for stream in streams if stream.flush(now, flush_seconds)]
        if done:
            with self._changed:
                self._streams = [stream for stream in self._streams if stream not in done]
                self._changed.notify_all()

    def _poll(self, streams: Sequence[AnswerStream]) -> None:
        """Ask the callers that were asked longest ago, each at most once in `flush_seconds`."""
        now = time.monotonic()
        for stream in heapq.nsmallest(_POLLS_A_PASS, streams, key=lambda stream: stream.polled_time):
            if not stream.has_ended and now - stream.polled_time >= self._options.flush_seconds:
                stream.poll(now)

    def _report(self, is_urgent: bool) -> None:
        """Give the engine's state away, if it is new: now and then, and before an ending is sent.

        So whoever has seen an answer end finds it in the metrics, and an idle decoder reports nothing.
        """
        now = time.monotonic()
        stats = self._engine.stats()
        is_due = is_urgent or now - self._report_time >= _REPORT_SECONDS
        if not is_due or stats == self._reported:
            return
        self._report_time, self._reported = now, stats
        try:
            self._on_stats(stats)
        except Exception:
            _log.exception("stats_not_reported")  # metrics must never stop answers


def _warm_up_request() -> Request:
    ids = np.zeros(2, dtype=np.int64)
    return Request("warm-up", ids, ids, sampling=SamplingParams(max_new_tokens=2))
