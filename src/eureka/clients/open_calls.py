"""Calls that a server still has to answer, by model, so that all of one model can be ended at once.

A call to a process that was killed never ends by itself. Whoever finds out says so here, and nobody waits for
a timeout.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from eureka.errors import StageUnavailableError


class Cancellable(Protocol):
    """A gRPC call; who waits for one that is cancelled gets asyncio's CancelledError."""

    def cancel(self) -> bool:
        """End the call."""
        ...


class OpenCalls:
    """Knows the open calls to each model; for one event loop."""

    def __init__(self) -> None:
        self._calls: defaultdict[str, set[Cancellable]] = defaultdict(set)

    def end(self, model: str) -> None:
        """End all calls to a model whose process is gone: each raises MODEL_GONE where it waits."""
        for call in self._calls.pop(model, set()):
            call.cancel()

    @contextmanager
    def holding(self, model: str, call: Cancellable) -> Iterator[None]:
        """Count a call as open inside the block, and tell why it ended if `end` did it.

        Raises:
            StageUnavailableError: reason MODEL_GONE; the call was ended by `end`.
        """
        calls = self._calls[model]
        calls.add(call)
        try:
            yield
        except asyncio.CancelledError as error:
            if self._calls.get(model) is calls or _is_cancelled():
                raise
            message = f"the process of {model} is gone; try again"
            raise StageUnavailableError(message, reason="MODEL_GONE") from error
        finally:
            calls.discard(call)


def _is_cancelled() -> bool:
    """Whether it is the caller that is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
