"""Questions spread over worker processes, each with its own `Ear`; answers come back in order."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

from eureka.engine.choice import BackendChoice
from eureka.errors import EurekaError, InvalidInputError
from eureka.evaluation.hearing import Ear, Heard, Question
from eureka.types import Pcm

CHUNK_SIZE = 32
"""Questions handed to a worker at once: four times the engine's slots, so that few stand empty."""

START_SECONDS = 900.0
"""A worker that has not loaded its checkpoint by then never will; on a machine with other work it takes
minutes. One that dies is noticed at once."""

STOP_SECONDS = 10.0
"""A worker that has not left by then is ended."""


@dataclass(frozen=True, slots=True, eq=False)
class _Worker:
    process: SpawnProcess
    connection: Connection


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    """Places in the caller's list, with what is asked there."""

    places: tuple[int, ...]
    pcms: tuple[Pcm, ...]
    questions: tuple[Question, ...]


class HearingPool:
    """Asks a checkpoint many questions; in this process with one worker, else in child processes.

    Args:
        checkpoint: folder of the checkpoint.
        num_workers: processes; more than there are cores bring nothing.
        choice: what computes.
    """

    def __init__(self, checkpoint: Path, num_workers: int = 1, choice: BackendChoice | None = None) -> None:
        if num_workers < 1:
            raise InvalidInputError(f"num_workers is {num_workers}; it must be at least 1")
        self._checkpoint, self._choice = checkpoint, choice
        self._num_workers = num_workers
        self._stack = ExitStack()
        self._ear: Ear | None = None
        self._workers: list[_Worker] = []

    def __enter__(self) -> HearingPool:
        if self._num_workers == 1:
            self._ear = self._stack.enter_context(Ear.from_folder(self._checkpoint, self._choice))
            return self
        self._stack.callback(self._stop)
        self._workers = [_start(self._checkpoint, self._choice) for _ in range(self._num_workers)]
        for worker in self._workers:
            _wait_until_ready(worker)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def hear(
        self,
        pcms: Sequence[Pcm],
        questions: Sequence[Question],
        on_answer: Callable[[int], None] | None = None,
    ) -> list[Heard]:
        """Answers in the order of the questions, one question a clip.

        Args:
            on_answer: told how many more answers there are, from any thread.

        Raises:
            EurekaError: what the model raised, or a worker is gone.
        """
        report = on_answer or (lambda _: None)
        if self._ear is not None:
            return self._ear.hear_all(pcms, questions, lambda: report(1))
        answers: list[Heard | None] = [None] * len(pcms)
        for chunk, heard in self._hear_chunks(_chunks(pcms, questions), report):
            for place, answer in zip(chunk.places, heard, strict=True):
                answers[place] = answer
        return [answer for answer in answers if answer is not None]

    def _hear_chunks(
        self, chunks: list[_Chunk], report: Callable[[int], None]
    ) -> list[tuple[_Chunk, list[Heard]]]:
        """Each chunk goes to whichever worker is free; one thread here stands for each worker."""
        free: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            free.put(worker)

        def hear_chunk(chunk: _Chunk) -> list[Heard]:
            worker = free.get()
            try:
                heard = _ask(worker, chunk)
            finally:
                free.put(worker)
            report(len(chunk.places))
            return heard

        with ThreadPoolExecutor(len(self._workers)) as pool:
            futures: list[Future[list[Heard]]] = [pool.submit(hear_chunk, chunk) for chunk in chunks]
            return [(chunk, future.result()) for chunk, future in zip(chunks, futures, strict=True)]

    def _stop(self) -> None:
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            worker.process.join(STOP_SECONDS)
            if worker.process.is_alive():
                worker.process.terminate()
                worker.process.join()


def default_num_workers() -> int:
    """Two where there are two cores: the worker processes hold one thread each."""
    return min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _chunks(pcms: Sequence[Pcm], questions: Sequence[Question]) -> list[_Chunk]:
    """Chunks of clips of like length, longest first, so that no worker is left alone with a long one."""
    order = sorted(range(len(pcms)), key=lambda place: -len(pcms[place]))
    places = [tuple(order[i : i + CHUNK_SIZE]) for i in range(0, len(order), CHUNK_SIZE)]
    return [_Chunk(p, tuple(pcms[i] for i in p), tuple(questions[i] for i in p)) for p in places]


def _start(checkpoint: Path, choice: BackendChoice | None) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(theirs, checkpoint, choice), daemon=True, name="eureka-ear"
    )
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _wait_until_ready(worker: _Worker) -> None:
    if not worker.connection.poll(START_SECONDS):
        raise EurekaError(f"a worker did not load its checkpoint within {START_SECONDS:g} s")
    _receive(worker)


def _ask(worker: _Worker, chunk: _Chunk) -> list[Heard]:
    worker.connection.send((chunk.pcms, chunk.questions))
    heard: list[Heard] = _receive(worker)
    return heard


def _receive(worker: _Worker) -> list[Heard]:
    try:
        answer = worker.connection.recv()
    except EOFError as error:
        raise EurekaError("a worker process ended while it was asked") from error
    if isinstance(answer, Exception):
        raise answer
    heard: list[Heard] = answer
    return heard


def _serve(connection: Connection, checkpoint: Path, choice: BackendChoice | None) -> None:
    """A worker's life: load, say so, answer until the other end closes."""
    try:
        with Ear.from_folder(checkpoint, choice) as ear:
            connection.send([])
            while True:
                pcms, questions = connection.recv()
                connection.send(ear.hear_all(pcms, questions))
    except EOFError:
        return
    except Exception as error:
        connection.send(error)
