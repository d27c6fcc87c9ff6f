"""Size and sha256 of content before it is sent: both stand in the head of a request."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, BinaryIO

PIECE_BYTES = 1 << 20
"""Bytes that are read at a time."""

MAX_SPOOLED_BYTES = 8 << 20
"""Bytes of a stream without seek that are held in memory; longer ones go to a temporary file."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Content at its start.

    Attributes:
        stream: reads what was measured.
        num_bytes: size.
        sha256: hex.
    """

    stream: IO[bytes]
    num_bytes: int
    sha256: str


@contextmanager
def measured(content: bytes | BinaryIO) -> Iterator[Measured]:
    """Measure bytes, or a stream from where it stands: read twice if it can seek, else by way of a file."""
    if isinstance(content, bytes):
        yield Measured(io.BytesIO(content), len(content), hashlib.sha256(content).hexdigest())
    elif content.seekable():
        start = content.tell()
        num_bytes, sha256 = _read_through(content, None)
        content.seek(start)
        yield Measured(content, num_bytes, sha256)
    else:
        with tempfile.SpooledTemporaryFile(MAX_SPOOLED_BYTES) as spool:
            num_bytes, sha256 = _read_through(content, spool)
            spool.seek(0)
            yield Measured(spool, num_bytes, sha256)


def _read_through(stream: BinaryIO, spool: IO[bytes] | None) -> tuple[int, str]:
    digest, num_bytes = hashlib.sha256(), 0
    while piece := stream.read(PIECE_BYTES):
        digest.update(piece)
        num_bytes += len(piece)
        if spool is not None:
            spool.write(piece)
    return num_bytes, digest.hexdigest()
