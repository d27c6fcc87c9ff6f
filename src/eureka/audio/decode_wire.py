"""What a decoding child and its parent say to each other over a socket pair.

A message is one letter, the length of its body, and the body: JSON, or raw float32 samples of a
block. Nothing is pickled: the child has read untrusted bytes.
"""

from __future__ import annotations

import io
import json
import os
import socket
import struct
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, BinaryIO

import eureka.errors
from eureka.audio.decode import AudioInfo, DecodeLimits
from eureka.errors import EurekaError, InvalidAudioError

LARGEST_BODY_BYTES = 64 << 20
"""A block of 1 s has 64 KB; one odd frame of a low rate may give more."""

_HEADER = struct.Struct("<cI")


class Kind(Enum):
    """Kinds of messages."""

    JOB = b"J"
    """To the child, with the file's descriptor unless it is read by ranges: decode this (JSON)."""
    RANGE = b"G"
    """To the child: the bytes that it asked for; fewer at the end of the file."""
    STOP = b"S"
    """To the child: nobody wants the rest."""
    READY = b"R"
    """From the child: it can take jobs."""
    INFO = b"I"
    """From the child: what is known of the file (JSON); the first and the last answer of a job."""
    READ = b"A"
    """From the child: it needs bytes from an offset on, so many of them (JSON)."""
    BLOCK = b"B"
    """From the child: float32 samples."""
    ERROR = b"E"
    """From the child, last answer of a job: class, reason and message (JSON)."""
    DONE = b"D"
    """From the child, last answer of a job."""


class ClosedError(Exception):
    """The other side is gone."""


class StoppedError(Exception):
    """Nobody wants the rest of a file."""


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """What a child is asked to do with a file.

    Attributes:
        limits: what the file may cost.
        channel: the only one that is heard, from 0; None is the mean of all.
        start_sample: first sample at 16 kHz that is given out.
        ranged_bytes: size of a file that the parent reads for the child; None where a descriptor comes.
    """

    limits: DecodeLimits
    channel: int | None = None
    start_sample: int = 0
    ranged_bytes: int | None = None


def send(connection: socket.socket, kind: Kind, body: bytes = b"") -> None:
    """Send one message.

    Raises:
        ClosedError: the other side is gone.
    """
    try:
        connection.sendall(_HEADER.pack(kind.value, len(body)))
        if body:
            connection.sendall(body)
    except (BrokenPipeError, ConnectionError) as error:
        raise ClosedError(str(error)) from error


def receive(connection: socket.socket) -> tuple[Kind, bytes]:
    """Wait for one message.

    Raises:
        ClosedError: the other side is gone, or what it says is no message.
        TimeoutError: nothing came within the connection's timeout.
    """
    letter, length = _HEADER.unpack(_receive_exactly(connection, _HEADER.size))
    if letter not in {kind.value for kind in Kind} or length > LARGEST_BODY_BYTES:
        raise ClosedError(f"no message: {letter!r}, {length} bytes")
    return Kind(letter), _receive_exactly(connection, length)


def send_job(connection: socket.socket, job: DecodeJob, descriptor: int | None) -> None:
    """Send a job with the descriptor of its file, if it has one."""
    body = json.dumps(asdict(job)).encode()
    if descriptor is None:
        send(connection, Kind.JOB, body)
        return
    try:
        socket.send_fds(connection, [_HEADER.pack(Kind.JOB.value, len(body))], [descriptor])
        connection.sendall(body)
    except (BrokenPipeError, ConnectionError) as error:
        raise ClosedError(str(error)) from error


def receive_job(connection: socket.socket) -> tuple[DecodeJob, int | None]:
    """Wait for a job; a STOP that came too late for the last one is passed over.

    Raises:
        ClosedError: the parent is gone.
    """
    while True:
        header, descriptors, _, _ = socket.recv_fds(connection, _HEADER.size, 1)
        if not header:
            raise ClosedError("the parent is gone")
        header += _receive_exactly(connection, _HEADER.size - len(header))
        letter, length = _HEADER.unpack(header)
        body = _receive_exactly(connection, length)
        if letter == Kind.JOB.value:
            plain = json.loads(body)
            job = DecodeJob(DecodeLimits(**plain.pop("limits")), **plain)
            return job, descriptors[0] if descriptors else None


def send_range(connection: socket.socket, reader: BinaryIO, body: bytes) -> None:
    """Answer a READ from a reader.

    Raises:
        ClosedError: the other side is gone, or what it asks for is no range.
    """
    try:
        offset, num_bytes = (int(number) for number in json.loads(body))
    except (ValueError, TypeError) as error:
        raise ClosedError("no range") from error
    if offset < 0 or not 0 <= num_bytes <= LARGEST_BODY_BYTES:
        raise ClosedError(f"no range: {num_bytes} bytes from {offset}")
    reader.seek(offset)
    send(connection, Kind.RANGE, reader.read(num_bytes))


class RangedFile(io.RawIOBase):
    """The child's view of a file that its parent reads.

    Args:
        connection: to the parent.
        num_bytes: size of the file.
    """

    def __init__(self, connection: socket.socket, num_bytes: int) -> None:
        self._connection = connection
        self._num_bytes = num_bytes
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; the new position in bytes from the start."""
        origins = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._num_bytes}
        self._position = max(0, origins[whence] + offset)
        return self._position

    def tell(self) -> int:
        """Position in bytes from the start."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed: any writable buffer
        """Fill the buffer with what the parent reads.

        Raises:
            StoppedError: nobody wants the rest.
            ClosedError: the parent is gone.
        """
        num_bytes = min(len(buffer), self._num_bytes - self._position)
        if num_bytes <= 0:
            return 0
        send(self._connection, Kind.READ, json.dumps([self._position, num_bytes]).encode())
        kind, body = receive(self._connection)
        if kind is not Kind.RANGE:
            raise StoppedError("nobody wants the rest")
        buffer[: len(body)] = body
        self._position += len(body)
        return len(body)


def info_to_json(info: AudioInfo) -> bytes:
    """AudioInfo as a body."""
    return json.dumps(asdict(info)).encode()


def info_from_json(body: bytes) -> AudioInfo:
    """AudioInfo from a body."""
    return AudioInfo(**json.loads(body))


def error_to_json(error: EurekaError) -> bytes:
    """An error of our tree as a body."""
    return json.dumps([type(error).__name__, error.message, error.reason]).encode()


def error_from_json(body: bytes) -> EurekaError:
    """An error of our tree from a body."""
    name, message, reason = json.loads(body)
    kind: Any = getattr(eureka.errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, EurekaError)):
        kind = InvalidAudioError
    error: EurekaError = kind(message, reason=reason)
    return error


def _receive_exactly(connection: socket.socket, num_bytes: int) -> bytes:
    parts = bytearray()
    while len(parts) < num_bytes:
        try:
            part = connection.recv(min(num_bytes - len(parts), 1 << 20))
        except ConnectionError as error:
            raise ClosedError(str(error)) from error
        if not part:
            raise ClosedError("the other side is gone")
        parts += part
    return bytes(parts)
