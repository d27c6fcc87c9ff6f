"""A line on stderr that says how far the work is; only on a terminal."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO

from eureka.types import SAMPLE_RATE_HZ, Pcm

_REDRAW_SECONDS = 0.1
"""Shortest time between two drawings."""


class Progress:
    """Follows files while their audio is read.

    Args:
        num_files: how many files there are.
        stream: where to draw; stderr when omitted. Nothing is drawn unless it is a terminal.
    """

    def __init__(self, num_files: int, stream: TextIO | None = None) -> None:
        self._num_files = num_files
        self._stream = stream or sys.stderr
        self._is_shown = self._stream.isatty()
        self._num_started = 0
        self._drawn_at = 0.0

    def follow(self, path: str, blocks: Iterable[Pcm]) -> Iterator[Pcm]:
        """The blocks as they are, the seconds read so far drawn beside the path."""
        self._num_started += 1
        num_samples = 0
        for block in blocks:
            num_samples += len(block)
            self._draw(path, num_samples / SAMPLE_RATE_HZ)
            yield block

    def clear(self) -> None:
        """Take the line away, before a result is written."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _draw(self, path: str, seconds: float) -> None:
        now = time.monotonic()
        if not self._is_shown or now - self._drawn_at < _REDRAW_SECONDS:
            return
        self._drawn_at = now
        hours, rest = divmod(int(seconds), 3600)
        clock = f"{hours}:{rest // 60:02}:{rest % 60:02}"
        line = _fitting(f"[{self._num_started}/{self._num_files}] {clock} ", path)
        self._stream.write(f"\r\x1b[K{line}")
        self._stream.flush()


def _fitting(start: str, path: str) -> str:
    """One line that the terminal does not wrap, since only one is cleared: the end of a long path."""
    room = max(0, shutil.get_terminal_size().columns - 1 - len(start))
    shown = "".join(letter if letter.isprintable() else "?" for letter in path)
    return start + shown[max(0, len(shown) - room) :]
