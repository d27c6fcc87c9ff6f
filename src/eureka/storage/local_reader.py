"""The content of a local object as a file that can seek, without the footer behind it."""

from __future__ import annotations

import io
import os

from eureka.storage.local_files import Footer


class LocalReader(io.RawIOBase):
    """Reads [0, footer.num_bytes) of an open file, which it owns and closes.

    Args:
        descriptor: of the object's file.
        footer: what stands behind the content.
    """

    def __init__(self, descriptor: int, footer: Footer) -> None:
        self.footer = footer
        self._descriptor = descriptor
        self._position = 0

    @property
    def modified_seconds(self) -> float:
        """When the object was put, in seconds since 1970."""
        return os.fstat(self._descriptor).st_mtime

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed: any writable buffer
        """Fill the buffer as far as the content reaches; the number of bytes, 0 at the end."""
        left = max(0, self.footer.num_bytes - self._position)
        num_bytes = os.preadv(self._descriptor, [memoryview(buffer)[:left]], self._position) if left else 0
        self._position += num_bytes
        return num_bytes

    def readall(self) -> bytes:
        """What is left of the content, in one piece of memory."""
        whole = bytearray(max(0, self.footer.num_bytes - self._position))
        filled = 0
        while filled < len(whole) and (num_bytes := self.readinto(memoryview(whole)[filled:])):
            filled += num_bytes
        return bytes(whole[:filled])

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; the new position in bytes from the start."""
        self._position = new_position(offset, whence, self._position, self.footer.num_bytes)
        return self._position

    def tell(self) -> int:
        """Position in bytes from the start."""
        return self._position

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def new_position(offset: int, whence: int, position: int, num_bytes: int) -> int:
    """Where a seek leads, in bytes from the start.

    Raises:
        ValueError: before the start, or an unknown `whence`.
    """
    start = {os.SEEK_SET: 0, os.SEEK_CUR: position, os.SEEK_END: num_bytes}
    if whence not in start or start[whence] + offset < 0:
        raise ValueError(f"cannot seek to {offset} (whence {whence}) in {num_bytes} bytes")
    return start[whence] + offset
