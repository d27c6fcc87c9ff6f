"""The stages for worker threads: one call's context, blocking calls, and an end for all of them at once.

The pipeline is synchronous; stages are asyncio. A worker thread waits here for coroutines of the event loop.
When the call ends early, whoever waits is woken with CancelledError, so that no thread lingers.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from eureka.clients.instruction_check import check_against_card
from eureka.engine.request import LabelScores
from eureka.errors import CancelledError
from eureka.types import CallContext, Instruction, ModelCard, Pcm, TextDelta, TextRequest, Usage

_T = TypeVar("_T")


class Stages(Protocol):
    """What calls need of `StageClients`."""

    async def embed(self, items: Sequence[Pcm], context: CallContext) -> NDArray[np.float32]:
        """As `StageClients.embed`."""

    def generate(self, request: TextRequest, context: CallContext) -> AsyncGenerator[TextDelta, None]:
        """As `StageClients.generate`."""

    async def score(self, request: TextRequest, labels: Sequence[str], context: CallContext) -> LabelScores:
        """As `StageClients.score`."""


class BoundCall:
    """One call between its worker thread and the event loop.

    Args:
        loop: runs the coroutines.
        context: of the call.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, context: CallContext) -> None:
        self._loop = loop
        self.context = context
        self._lock = threading.Lock()
        self._is_cancelled = False
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        self.stage_seconds: dict[str, float] = {}
        """Seconds inside the decoder (wait, prefill), added up over all requests of the call."""

    def cancel(self) -> None:
        """End the call: whoever waits is woken, whoever asks next is refused. From any thread."""
        with self._lock:
            self._is_cancelled = True
            waiting = list(self._waiting)
        for future in waiting:
            future.cancel()  # outside of the lock: it calls back

    def check(self) -> None:
        """Refuse to go on when the call has ended.

        Raises:
            CancelledError: it has.
        """
        if self._is_cancelled:
            raise CancelledError("the call was cancelled")

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Result of a coroutine of the event loop; blocks, so never call it on the loop's own thread.

        Raises:
            CancelledError: the call has ended, or the coroutine was cancelled.
        """
        return self.result(self.submit(coroutine))

    def submit(self, coroutine: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        """Start a coroutine on the event loop; its result is fetched by `result`.

        Raises:
            CancelledError: the call has ended.
        """
        with self._lock:
            if self._is_cancelled:
                coroutine.close()
            self.check()
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            self._waiting.add(future)
        future.add_done_callback(self._forget)
        return future

    def result(self, future: concurrent.futures.Future[_T]) -> _T:
        """Wait for what `submit` started; errors as `run`."""
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise CancelledError("the call was cancelled") from error
        finally:
            future.cancel()

    def note(self, usage: Usage | None) -> None:
        """Add up what a request spent inside the decoder."""
        seconds = usage.seconds if usage is not None else {}
        for stage in ("wait", "prefill"):
            if stage in seconds:
                self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + seconds[stage]

    def _forget(self, future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._waiting.discard(future)


class BoundEmbedder:
    """`pipeline.protocols.AudioEmbedder` over the stages.

    Args:
        stages: encoder and adapter.
        call: whose call it is.
    """

    def __init__(self, stages: Stages, call: BoundCall) -> None:
        self._stages = stages
        self._call = call

    def embed(self, items: Sequence[Pcm]) -> NDArray[np.float32]:
        """Rows (A, W) of all items; errors as `StageClients.embed`, CancelledError when the call ends."""
        return self._call.run(self._stages.embed(items, self._call.context))


class BoundDecoder:
    """`pipeline.protocols.TextDecoder` over the stages.

    Args:
        stages: the decoder.
        call: whose call it is.
        card: of the checkpoint that the decoder serves.
    """

    def __init__(self, stages: Stages, call: BoundCall, card: ModelCard) -> None:
        self._stages = stages
        self._call = call
        self._card = card

    def check(self, instruction: Instruction) -> None:
        """Refuse an instruction that the checkpoint cannot lay out, without asking the stage.

        Raises:
            InvalidInputError: an unknown language or role, a blank question, no turn.
        """
        check_against_card(self._card, instruction)

    def generate(self, request: TextRequest) -> Iterator[TextDelta]:
        """Deltas of one answer; errors as `StageClients.generate`, CancelledError when the call ends."""
        arrived: queue.SimpleQueue[TextDelta | None] = queue.SimpleQueue()
        future = self._call.submit(_pump(self._stages.generate(request, self._call.context), arrived))
        future.add_done_callback(lambda _: arrived.put(None))
        try:
            while (delta := arrived.get()) is not None:
                self._call.note(delta.usage)
                yield delta
            self._call.result(future)
        finally:
            future.cancel()

    def score(self, request: TextRequest, labels: Sequence[str]) -> LabelScores:
        """Scores of a closed set; errors as `StageClients.score`, CancelledError when the call ends."""
        scores = self._call.run(self._stages.score(request, labels, self._call.context))
        self._call.note(scores.usage)
        return scores


async def _pump(
    deltas: AsyncGenerator[TextDelta, None], arrived: queue.SimpleQueue[TextDelta | None]
) -> None:
    async with aclosing(deltas):
        async for delta in deltas:
            arrived.put(delta)
