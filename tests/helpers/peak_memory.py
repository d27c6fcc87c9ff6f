"""The most memory that processes of a stack had resident, by the kernel's own marks."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

LOOK_SECONDS = 0.5

RESET_PEAK = "5"
"""Written to clear_refs it sets a process's peak to what it has now."""


class PeakWatch:
    """Peak resident memory of parts and of their children while the block lasts.

    The kernel's mark misses nothing between two looks; looks are for processes that end meanwhile.

    Args:
        pids: name of each part -> its process.
    """

    def __init__(self, pids: Callable[[], dict[str, int]]) -> None:
        self._pids = pids
        self.peaks: Counter[str] = Counter()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> PeakWatch:
        for pid in self._found():
            Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        self._look()

    def _look_on(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        for pid, name in self._found().items():
            with contextlib.suppress(OSError, ValueError):
                self.peaks[name] = max(self.peaks[name], _peak_bytes(pid))

    def _found(self) -> dict[int, str]:
        """Process -> name; a part's children are named after it."""
        found: dict[int, str] = {}
        for name, pid in self._pids().items():
            with contextlib.suppress(psutil.NoSuchProcess):
                children = psutil.Process(pid).children(recursive=True)
                found |= {pid: name} | {child.pid: f"{name}'s decoder" for child in children}
        return found


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    line = next((line for line in lines if line.startswith("VmHWM:")), None)
    if line is None:
        raise ValueError(f"process {pid} is a zombie")
    return int(line.split()[1]) * 1024
