"""How many calls run and wait at a time, and the threads in which the synchronous ones run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from eureka.clients.blocking import BoundCall
from eureka.errors import QueueFullError

_T = TypeVar("_T")


class Admission:
    """Lets calls in, in their order; for one event loop.

    Args:
        max_concurrent: calls that run at a time.
        max_waiting: calls that may wait; the next one is refused at once.
    """

    def __init__(self, max_concurrent: int, max_waiting: int) -> None:
        self._places = asyncio.Semaphore(max_concurrent)
        self._max_concurrent = max_concurrent
        self._max_waiting = max_waiting
        self._num_waiting = 0
        self._threads = ThreadPoolExecutor(max_concurrent, thread_name_prefix="call")

    @property
    def num_waiting(self) -> int:
        """Calls that wait for a place now."""
        return self._num_waiting if self._places.locked() else 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place, waiting for one where all are taken.

        Raises:
            QueueFullError: too many wait already.
        """
        if self._places.locked() and self._num_waiting >= self._max_waiting:
            raise QueueFullError(
                f"{self._max_concurrent} calls are running and {self._num_waiting} waiting, the limits; try "
                "again in a second"
            )
        self._num_waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._num_waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    async def in_thread(self, call: BoundCall, work: Callable[[], _T]) -> _T:
        """Result of `work`, run in a thread; when this task is cancelled, `call` and so the thread ends."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        running.add_done_callback(_retrieve)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            call.cancel()
            raise

    def close(self) -> None:
        """Take no more work; what runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _retrieve(future: asyncio.Future[_T]) -> None:
    """An error that nobody waits for any more is no news: the call's own end told of it."""
    if not future.cancelled():
        future.exception()
