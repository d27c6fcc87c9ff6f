"""The stages for the threads of a worker: an event loop of its own, and one call a task."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

import numpy as np

from eureka.clients.blocking import BoundCall, BoundDecoder, BoundEmbedder
from eureka.clients.metadata import new_request_id
from eureka.clients.stages import StageClients
from eureka.errors import EurekaError
from eureka.jobs.hearing import JobModel
from eureka.pipeline.options import ListenerSettings
from eureka.runtime.settings import Settings
from eureka.runtime.stages import open_stages
from eureka.spans import NO_TRACER, Tracer
from eureka.types import (
    SAMPLES_PER_AUDIO_TOKEN,
    CallContext,
    Instruction,
    ModelCard,
    Priority,
    SamplingParams,
    Task,
    TextRequest,
)

CARD_SECONDS = 10.0
"""A decoder that came back with another checkpoint is known after this time."""

PROBE_SECONDS = 10.0

_T = TypeVar("_T")


class WorkerStages:
    """Encoder, adapter and decoder for threads; channels are opened here, after any fork.

    Args:
        settings: say where the stages are.
        tracer: makes a span about each call of a stage.
    """

    def __init__(self, settings: Settings, tracer: Tracer = NO_TRACER) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stages", daemon=True)
        self._thread.start()
        self._lock = threading.Lock()
        self._calls: set[BoundCall] = set()
        self._card: tuple[ModelCard, float] | None = None
        self._stages = self._run(_opened(settings, tracer))

    def card(self) -> ModelCard:
        """Of the checkpoint that the decoder serves now.

        Raises:
            StageUnavailableError: the decoder is away.
        """
        known = self._card
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        context = CallContext(new_request_id(), deadline=time.monotonic() + PROBE_SECONDS)
        card = self._run(self._stages.describe(context))
        self._card = card, time.monotonic() + CARD_SECONDS
        return card

    @contextmanager
    def call(
        self, tenant: str, seconds: float, priority: Priority, request_id: str, traceparent: str = ""
    ) -> Iterator[BoundCall]:
        """A call of so many seconds at most, which ends when the worker stops.

        Args:
            tenant: whose it is.
            seconds: until its deadline.
            priority: see there.
            request_id: in the log lines of the stages.
            traceparent: of the span that it belongs to.
        """
        deadline = time.monotonic() + seconds
        call = BoundCall(self._loop, CallContext(request_id, traceparent, tenant, deadline, priority))
        with self._lock:
            self._calls.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._calls.discard(call)

    def model(self, call: BoundCall) -> JobModel:
        """The model as jobs hear by it, within a call; its version is the decoder's."""
        card = self.card()
        settings = ListenerSettings(
            model=card.name,
            best_window_seconds=card.best_window_seconds,
            silence_dbfs=self._settings.audio.silence_dbfs,
        )
        return JobModel(
            BoundEmbedder(self._stages, call),
            BoundDecoder(self._stages, call, card),
            settings,
            card,
            card.numerics,
        )

    def is_serving(self) -> bool:
        """Whether a token of silence comes through all stages now."""
        try:
            self._run(self._probe())
        except (EurekaError, TimeoutError):
            return False
        return True

    def end_calls(self) -> None:
        """End what waits for a stage."""
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()

    def close(self) -> None:
        """Close the channels and the event loop."""
        self._run(self._stages.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _probe(self) -> None:
        deadline = time.monotonic() + PROBE_SECONDS
        context = CallContext(new_request_id(), deadline=deadline, priority=Priority.PROBE)
        rows = await self._stages.embed([np.zeros(SAMPLES_PER_AUDIO_TOKEN, dtype=np.float32)], context)
        sampling = SamplingParams(max_new_tokens=1)
        request = TextRequest(Instruction(Task.CAPTION), rows, sampling, deadline, Priority.PROBE)
        async with aclosing(self._stages.generate(request, context)) as deltas:
            async for _ in deltas:
                pass

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


async def _opened(settings: Settings, tracer: Tracer) -> StageClients:
    return open_stages(settings, tracer)
