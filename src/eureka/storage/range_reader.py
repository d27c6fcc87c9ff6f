"""A file that can seek over an object that is fetched in ranges, with constant memory."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import BinaryIO

from eureka.storage.local_reader import new_position

BLOCK_BYTES = 1 << 20
"""Bytes of one request: what a reader asks next is mostly in it."""

MAX_BLOCKS = 4
"""Blocks that are kept: containers with their index at the end make readers hop between places."""

BUFFER_BYTES = 64 << 10
"""Bytes that small reads are served from."""


class RangeReader(io.RawIOBase):
    """Reads an object of `num_bytes` by `fetch`, a block at a time; for one thread.

    Args:
        fetch: gives the bytes [start, start + count), all of them.
        num_bytes: size of the object.
        block_bytes: bytes of one fetch.
    """

    def __init__(
        self, fetch: Callable[[int, int], bytes], num_bytes: int, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self._fetch = fetch
        self._num_bytes = num_bytes
        self._block_bytes = block_bytes
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed: any writable buffer
        """Fill the buffer up to the end of a block; the number of bytes, 0 at the end of the object."""
        if self._position >= self._num_bytes or not len(buffer):
            return 0
        number, offset = divmod(self._position, self._block_bytes)
        piece = memoryview(self._block(number))[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; the new position in bytes from the start."""
        self._position = new_position(offset, whence, self._position, self._num_bytes)
        return self._position

    def tell(self) -> int:
        """Position in bytes from the start."""
        return self._position

    def close(self) -> None:
        """Forget the blocks."""
        self._blocks.clear()
        super().close()

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            start = number * self._block_bytes
            block = self._fetch(start, min(self._block_bytes, self._num_bytes - start))
            while len(self._blocks) >= MAX_BLOCKS:
                self._blocks.popitem(last=False)
            self._blocks[number] = block
        self._blocks.move_to_end(number)
        return self._blocks[number]


def buffered(reader: RangeReader) -> BinaryIO:
    """The reader with whole reads: only the end of the object gives less than was asked for."""
    return io.BufferedReader(reader, buffer_size=BUFFER_BYTES)
