"""Numbered batches made by worker processes, in order, from any starting number.

Batch `b` depends on the recipe's seed and `b` alone, so a run that resumes at a step sees the very
batches that an unbroken run would have seen, with any number of workers.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from eureka.errors import StageUnavailableError

_WAIT_SECONDS = 2.0


class BatchMaker(Protocol):
    """Makes batch number `index`; built inside the worker, so it may hold open maps."""

    def make(self, index: int) -> Any:
        """Return the batch as plain arrays."""


def _work(build: Callable[[], BatchMaker], first: int, stride: int, out: Any) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    maker = build()
    index = first
    while True:
        out.put(maker.make(index))
        index += stride


class BatchStream:
    """Iterates over batches from `start`; a context manager that ends its workers.

    Args:
        build: a picklable function that builds the maker inside a spawned process.
        start: number of the first batch.
        num_workers: processes; 0 makes batches in this process.
        depth: finished batches that wait a worker.
        stride: distance between the numbers of two batches; the number of training processes.
    """

    def __init__(
        self,
        build: Callable[[], BatchMaker],
        start: int,
        num_workers: int = 1,
        depth: int = 4,
        stride: int = 1,
    ) -> None:
        self._build, self._next, self._num_workers, self._depth = build, start, num_workers, depth
        self._stride = stride
        self._queues: list[Any] = []
        self._workers: list[Any] = []

    def __enter__(self) -> BatchStream:
        """Start the workers."""
        context = multiprocessing.get_context("spawn")
        for worker in range(self._num_workers):
            out = context.Queue(self._depth)
            first = self._next + worker * self._stride
            args = (self._build, first, self._num_workers * self._stride, out)
            process = context.Process(target=_work, args=args, daemon=True)
            process.start()
            self._queues.append(out)
            self._workers.append(process)
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers; batches in flight are dropped."""
        for process in self._workers:
            process.terminate()
            process.join()

    def __iter__(self) -> Iterator[Any]:
        """Yield batch after batch without end."""
        if not self._num_workers:
            maker = self._build()
            while True:
                yield maker.make(self._next)
                self._next += self._stride
        turn = 0
        while True:
            yield self._take(turn)
            turn = (turn + 1) % self._num_workers

    def _take(self, worker: int) -> Any:
        while True:
            try:
                return self._queues[worker].get(timeout=_WAIT_SECONDS)
            except queue.Empty:
                if not self._workers[worker].is_alive():
                    code = self._workers[worker].exitcode
                    raise StageUnavailableError(
                        f"a data worker ended with exit status {code}", reason="DATA_WORKER_ENDED"
                    ) from None
