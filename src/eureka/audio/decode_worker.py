"""The child process that decodes untrusted files: `python -m eureka.audio.decode_worker SOCKET BYTES`.

It gets files as open descriptors and gives back blocks of samples. After start-up it cannot open
another file beside that of its job, write a file, dump its memory, or grow beyond its limit.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import socket
import sys
import wave
from typing import BinaryIO

from eureka.audio.decode import decode_all
from eureka.audio.decode_wire import (
    ClosedError,
    DecodeJob,
    Kind,
    RangedFile,
    StoppedError,
    error_to_json,
    info_to_json,
    receive_job,
    send,
)
from eureka.audio.span_reader import open_from
from eureka.errors import EurekaError, InvalidAudioError

RANGE_BYTES = 1 << 18
"""Bytes asked of the parent at once, where it reads the file."""

CPU_GRACE_SECONDS = 10
"""The parent ends a job that takes too long; the kernel does where the parent is gone too."""


def main(socket_descriptor: int, max_memory_bytes: int) -> None:
    """Serve jobs until the parent is gone."""
    connection = socket.socket(fileno=socket_descriptor)
    _warm_up()
    confine(max_memory_bytes)
    with contextlib.suppress(ClosedError):
        send(connection, Kind.READY)
        while True:
            job, descriptor = receive_job(connection)
            with _opened(connection, job, descriptor) as file:
                _serve(connection, file, job)


def confine(max_memory_bytes: int) -> None:
    """Limit this process for good."""
    first_free = os.dup(0)
    os.close(first_free)
    _lower(resource.RLIMIT_NOFILE, first_free + 1)  # room for the file of the job only
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_AS, max_memory_bytes)


def _lower(kind: int, limit: int) -> None:
    limit = _at_most_hard(kind, limit)
    resource.setrlimit(kind, (limit, limit))


def _at_most_hard(kind: int, limit: int) -> int:
    """A batch system may have set a lower limit for all of us; it cannot be raised."""
    hard = resource.getrlimit(kind)[1]
    return limit if hard == resource.RLIM_INFINITY else min(limit, hard)


def _warm_up() -> None:
    """Decode one small file, so that nothing needs importing later, when no file can be opened."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(1_600))
    decode_all(buffer.getvalue())


def _opened(connection: socket.socket, job: DecodeJob, descriptor: int | None) -> BinaryIO:
    if descriptor is not None:
        return os.fdopen(descriptor, "rb")
    assert job.ranged_bytes is not None, "one of both comes"
    return io.BufferedReader(RangedFile(connection, job.ranged_bytes), RANGE_BYTES)


def _serve(connection: socket.socket, file: BinaryIO, job: DecodeJob) -> None:
    """Decode one file; exactly one ERROR or DONE ends the answers."""
    limits = job.limits
    _limit_cpu(limits.max_wall_seconds)
    try:
        with open_from(file, job.start_sample, limits, job.channel) as reader:
            send(connection, Kind.INFO, info_to_json(reader.info))
            for block in reader:
                if _has_message(connection):
                    break
                send(connection, Kind.BLOCK, block.tobytes())
            send(connection, Kind.DONE, info_to_json(reader.info))
    except EurekaError as error:
        send(connection, Kind.ERROR, error_to_json(error))
    except MemoryError:
        message = f"decoding needs more memory than the limit of {limits.max_memory_bytes:,} bytes"
        send(connection, Kind.ERROR, error_to_json(InvalidAudioError(message, reason="TOO_MUCH_MEMORY")))
        sys.exit(0)  # whatever held the memory is gone with this process
    except ClosedError:
        raise
    except StoppedError:
        send(connection, Kind.DONE, b"")
    except Exception as error:  # nothing that a file does may go unanswered
        message = f"the decoder failed on this file ({type(error).__name__})"
        send(connection, Kind.ERROR, error_to_json(InvalidAudioError(message, reason="DECODER_FAILED")))


def _limit_cpu(max_seconds: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + max_seconds) + CPU_GRACE_SECONDS
    kind = resource.RLIMIT_CPU
    resource.setrlimit(kind, (_at_most_hard(kind, soft), resource.getrlimit(kind)[1]))


def _has_message(connection: socket.socket) -> bool:
    """Whether the parent said something: during a job that is only STOP."""
    try:
        return len(connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)) >= 0
    except BlockingIOError:
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
