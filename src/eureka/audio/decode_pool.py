"""A pool of child processes, started before the first file, that decode untrusted audio.

A child gets an open descriptor and limits, and answers with blocks of samples through a socket
whose small buffer holds the child back when the consumer is slow: memory stays constant on both
sides. A child that dies, hangs or leaves its limits is replaced; only its own file fails.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from eureka.audio.decode import AudioInfo, DecodeLimits
from eureka.audio.decode_wire import (
    ClosedError,
    DecodeJob,
    Kind,
    error_from_json,
    info_from_json,
    receive,
    send,
    send_job,
    send_range,
)
from eureka.audio.source import AudioSource, OpenedSource, open_source
from eureka.errors import (
    AudioTooLongError,
    EurekaError,
    InvalidAudioError,
    QueueFullError,
    StageUnavailableError,
)
from eureka.types import Pcm

START_SECONDS = 60.0
"""A child imports numpy and PyAV: 0.3 s on an idle core, far more on a busy machine."""

ANSWER_GRACE_SECONDS = 2.0
"""Beyond `max_wall_seconds`, which the child itself keeps, before the parent ends it."""

STOP_SECONDS = 2.0
"""How long a child may take to stop a file that nobody wants any more."""


class DecodePool:
    """Decodes files in children that were started before.

    May be used from several threads. Use as a context manager, or call `close`.

    Args:
        num_workers: children, and so files decoded at once.
        limits: what one file may cost.
        wait_seconds: how long a file waits for a free child.
    """

    def __init__(
        self, num_workers: int = 1, limits: DecodeLimits | None = None, wait_seconds: float = 60.0
    ) -> None:
        if num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, not {num_workers}")
        self.limits = limits or DecodeLimits()
        self._num_workers = num_workers
        self._wait_seconds = wait_seconds
        self._is_closed = False
        self._free: queue.LifoQueue[_Child] = queue.LifoQueue()
        for _ in range(num_workers):
            self._free.put(_Child(self.limits.max_memory_bytes))

    def open(
        self,
        source: AudioSource,
        *,
        limits: DecodeLimits | None = None,
        channel: int | None = None,
        start_sample: int = 0,
        by_ranges: bool = False,
    ) -> PooledReader:
        """Open a path, bytes or a seekable reader; iterate the result for its pcm blocks.

        Args:
            source: see there.
            limits: of this file instead of the pool's; memory stays the pool's.
            channel: the only one that is heard, from 0; the mean of all when omitted.
            start_sample: first sample at 16 kHz that is given out, found by seeking as `SpanReader` says.
            by_ranges: read only those parts of a reader that decoding needs, while it is iterated; otherwise
                what is no file is copied to one first. Its errors are raised while iterating, too.

        Raises:
            EurekaError: as `eureka.audio.decode.open_audio`, and besides InvalidAudioError with
                DECODER_DIED, DECODER_FAILED or TOO_MUCH_MEMORY, AudioTooLongError with
                DECODE_TOO_SLOW.
            QueueFullError: no child became free in time.
            StageUnavailableError: the pool is closed, or children cannot be started.
        """
        job = DecodeJob(limits or self.limits, channel, start_sample)
        opened = open_source(source, job.limits.max_bytes)
        if by_ranges and not opened.is_ours:
            return self._open(None, replace(job, ranged_bytes=opened.num_bytes), opened.reader)
        try:
            with _as_file(opened) as file:
                return self._open(file, job)
        finally:
            opened.close()

    def stream(self, source: AudioSource) -> Iterator[Pcm]:
        """Pcm blocks of `source`, about 1 s each; errors as `open` and those of decoding."""
        with self.open(source) as reader:
            yield from reader

    def decode(self, source: AudioSource) -> Pcm:
        """The whole of `source` as pcm (S,); errors as `stream`."""
        return np.concatenate(list(self.stream(source)))

    def close(self) -> None:
        """End the children. Files that are still open keep theirs until they are closed."""
        self._is_closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                self._free.get_nowait().end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def give_back(self, child: _Child, *, is_usable: bool) -> None:
        """Take a child back from a reader; replace it when it cannot go on."""
        if self._is_closed or not is_usable:
            child.end()
        if not self._is_closed:
            self._free.put(child if is_usable else _Child(self.limits.max_memory_bytes))

    def _open(self, file: BinaryIO | None, job: DecodeJob, ranged: BinaryIO | None = None) -> PooledReader:
        reader = PooledReader(self, self._take(), job, ranged)
        try:
            reader.start(file)
        except InvalidAudioError as error:
            if error.reason != "DECODER_DIED" or not reader.was_killed:
                raise
            reader = PooledReader(self, self._take(), job, ranged)  # not the file's fault: once more
            reader.start(file)
        return reader

    def _take(self) -> _Child:
        if self._is_closed:
            raise StageUnavailableError("the decode pool is closed", reason="POOL_CLOSED")
        try:
            child = self._free.get(timeout=self._wait_seconds)
        except queue.Empty:
            message = f"all {self._num_workers} decoders were busy for {self._wait_seconds:g} s; try again"
            raise QueueFullError(message) from None
        try:
            if child.process.poll() is not None:  # died while it was idle
                child.end()
                child = _Child(self.limits.max_memory_bytes)
            child.wait_ready()
        except BaseException:
            self.give_back(child, is_usable=False)
            raise
        return child


class PooledReader:
    """One file that a child decodes: iterate once for its pcm blocks; close it when done.

    Holds its child until the file ends, fails or is closed.
    """

    def __init__(
        self, pool: DecodePool, child: _Child, job: DecodeJob, ranged: BinaryIO | None = None
    ) -> None:
        self._pool = pool
        self._child = child
        self._job = job
        self._ranged = ranged
        self._waited_seconds = 0.0
        self._is_running = True
        self._info: AudioInfo | None = None
        self.was_killed = False
        """The child was ended from outside (SIGKILL, SIGTERM), not by what it decoded."""

    @property
    def info(self) -> AudioInfo:
        """What is known of the file; the counts are filled in when its end was reached."""
        assert self._info is not None, "set by start"
        return self._info

    def start(self, file: BinaryIO | None) -> None:
        """Give the file (with a descriptor, if it is one) to the child and wait for what it finds.

        Raises:
            EurekaError: as `DecodePool.open`.
        """
        try:
            send_job(self._child.connection, self._job, file.fileno() if file else None)
        except ClosedError as error:
            raise self._died() from error
        self._info = info_from_json(self._answer()[1])

    def __iter__(self) -> Iterator[Pcm]:
        """Blocks of pcm (S,), never empty; errors as iterating an `AudioReader`."""
        while self._is_running:
            kind, body = self._answer()
            if kind is Kind.BLOCK:
                yield np.frombuffer(body, np.float32)
            elif kind is Kind.DONE:
                self._info = info_from_json(body)
                self._finish(is_usable=True)

    def close(self) -> None:
        """Stop decoding if it still runs, and give the child back."""
        if not self._is_running:
            return
        try:
            send(self._child.connection, Kind.STOP)
            self._child.drain(STOP_SECONDS)
        except (ClosedError, TimeoutError):
            self._finish(is_usable=False)
        else:
            self._finish(is_usable=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self) -> tuple[Kind, bytes]:
        """The child's next INFO, BLOCK or DONE; its error is raised, and what it asks for is read."""
        kind, body = self._receive()
        while kind is Kind.READ:
            self._give_range(body)
            kind, body = self._receive()
        if kind is Kind.ERROR:
            raise self._failed(error_from_json(body))
        return kind, body

    def _give_range(self, body: bytes) -> None:
        assert self._ranged is not None, "only then the child asks"
        try:
            send_range(self._child.connection, self._ranged, body)
        except ClosedError as error:
            raise self._died() from error
        except BaseException:  # the reader's
            self.close()
            raise

    def _receive(self) -> tuple[Kind, bytes]:
        started = time.monotonic()
        max_wall_seconds = self._job.limits.max_wall_seconds
        left = max_wall_seconds + ANSWER_GRACE_SECONDS - self._waited_seconds
        try:
            self._child.connection.settimeout(max(left, 0.001))
            kind, body = receive(self._child.connection)
        except TimeoutError as error:
            self._finish(is_usable=False)
            message = f"decoding took more than {max_wall_seconds:g} s, which is the limit"
            raise AudioTooLongError(message, reason="DECODE_TOO_SLOW") from error
        except ClosedError as error:
            raise self._died() from error
        self._waited_seconds += time.monotonic() - started
        return kind, body

    def _failed(self, error: EurekaError) -> EurekaError:
        # After running out of memory the child ends itself.
        self._finish(is_usable=error.reason != "TOO_MUCH_MEMORY")
        return error

    def _died(self) -> EurekaError:
        cause = self._child.cause_of_death()
        self.was_killed = cause in ("SIGKILL", "SIGTERM")
        self._finish(is_usable=False)
        return InvalidAudioError(f"decoding this file ended the decoder ({cause})", reason="DECODER_DIED")

    def _finish(self, *, is_usable: bool) -> None:
        if self._is_running:
            self._is_running = False
            self._pool.give_back(self._child, is_usable=is_usable)


class _Child:
    """One decoding process and our end of its socket."""

    def __init__(self, max_memory_bytes: int) -> None:
        self.connection, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "eureka.audio.decode_worker"]
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(max_memory_bytes)],
                pass_fds=[theirs.fileno()],
                env=_child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the parent, which then closes the pool
            )
        self._is_ready = False

    def wait_ready(self) -> None:
        """Wait until the child has started.

        Raises:
            StageUnavailableError: it did not start.
        """
        if self._is_ready:
            return
        self.connection.settimeout(START_SECONDS)
        try:
            receive(self.connection)
        except (ClosedError, TimeoutError) as error:
            message = f"a decoding process did not start ({self.cause_of_death()})"
            raise StageUnavailableError(message, reason="DECODER_NOT_STARTED") from error
        self._is_ready = True

    def drain(self, seconds: float) -> None:
        """Pass over the answers of the job that is being stopped.

        Raises:
            TimeoutError: the job did not end in time.
            ClosedError: the child died.
        """
        deadline = time.monotonic() + seconds
        while True:
            self.connection.settimeout(max(deadline - time.monotonic(), 0.001))
            kind, body = receive(self.connection)
            if kind is Kind.ERROR and error_from_json(body).reason == "TOO_MUCH_MEMORY":
                raise ClosedError("the child ends itself")
            if kind in (Kind.DONE, Kind.ERROR):
                return

    def cause_of_death(self) -> str:
        """Signal or exit status, for the error message."""
        try:
            status = self.process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "it does not answer"
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    def end(self) -> None:
        """Kill the process and wait for it."""
        self.process.kill()
        self.process.wait()
        self.connection.close()


def _child_environment() -> dict[str, str]:
    """Nothing of ours but where to find the code: the child reads untrusted bytes."""
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }


@contextlib.contextmanager
def _as_file(opened: OpenedSource) -> Iterator[BinaryIO]:
    """A real file for the child: the source's own, or a nameless temporary copy."""
    reader = opened.reader
    if type(reader) is io.BufferedReader and type(reader.raw) is io.FileIO:
        yield reader
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(reader, copy, 1 << 20)
        copy.flush()
        yield copy
