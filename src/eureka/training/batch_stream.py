"""Numbered batches made by worker processes, in order, from any starting number.

Batch `b` depends on the recipe's seed and `b` alone, so a run that resumes at a step sees the very
batches that an unbroken run would have seen, with any number of workers.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from eureka.errors import StageUnavailableError

WAIT_SECONDS = 2.0
"""How often one side looks whether the other still lives."""

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class BatchMaker(Protocol):
    """Makes batch number `index`; built inside the worker, so it may hold open maps."""

    def make(self, index: int) -> Any:
        """Return the batch as plain arrays."""


def _work(build: Callable[[], BatchMaker], first: int, stride: int, out: Any, wait_seconds: float) -> None:
    maker = build()
    index = first
    while _put(out, maker.make(index), wait_seconds):
        index += stride
    out.cancel_join_thread()  # nobody will read what is still on its way


def _put(out: Any, batch: Any, wait_seconds: float) -> bool:
    """Hand over a batch; False when the training process is gone, killed without a word."""
    parent = multiprocessing.parent_process()
    while True:
        try:
            out.put(batch, timeout=wait_seconds)
            return True
        except queue.Full:
            if parent is not None and not parent.is_alive():
                return False


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that start inside; numerical libraries read them at import."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class BatchStream:
    """Iterates over batches from `start`; a context manager that ends its workers.

    Args:
        build: a picklable function that builds the maker inside a spawned process.
        start: number of the first batch.
        num_workers: processes; 0 makes batches in this process.
        depth: finished batches that wait a worker.
        stride: distance between the numbers of two batches; the number of training processes.
        wait_seconds: how often either side looks whether the other still lives.
    """

    def __init__(
        self,
        build: Callable[[], BatchMaker],
        start: int,
        num_workers: int = 1,
        depth: int = 4,
        stride: int = 1,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._build, self._next, self._num_workers, self._depth = build, start, num_workers, depth
        self._stride, self._wait_seconds = stride, wait_seconds
        self._queues: list[Any] = []
        self._workers: list[Any] = []

    def __enter__(self) -> BatchStream:
        """Start the workers."""
        context = multiprocessing.get_context("spawn")
        for worker in range(self._num_workers):
            out = context.Queue(self._depth)
            first = self._next + worker * self._stride
            args = (self._build, first, self._num_workers * self._stride, out, self._wait_seconds)
            process = context.Process(target=_work, args=args, daemon=True)
            with _environment(_ONE_THREAD):
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
        """Yield batch after batch without end.

        Raises:
            StageUnavailableError: a worker ended; its own message stands on stderr.
        """
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
                return self._queues[worker].get(timeout=self._wait_seconds)
            except queue.Empty:
                if not self._workers[worker].is_alive():
                    code = self._workers[worker].exitcode
                    raise StageUnavailableError(
                        f"a data worker ended with exit status {code}", reason="DATA_WORKER_ENDED"
                    ) from None
