"""WaitingLine: accepted requests that have no slot yet."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from eureka.engine.handle import RequestHandle
from eureka.engine.request import Label, Request
from eureka.errors import QueueFullError


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """An accepted request with what the engine needs to answer it."""

    request: Request
    handle: RequestHandle
    arrived: float
    labels: tuple[Label, ...] = ()


class WaitingLine:
    """Priority first, then order of arrival.

    Args:
        max_waiting: entries beyond this are refused.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._arrivals = itertools.count()
        self._entries: list[tuple[int, int, Waiting]] = []  # sorted: (-priority, arrival, entry)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Waiting) -> None:
        """Take a place in the line.

        Raises:
            QueueFullError: the line is full.
        """
        if len(self._entries) >= self._max_waiting:
            raise QueueFullError(f"{len(self)} requests wait already, the limit; try again later")
        key = (-entry.request.priority, next(self._arrivals), entry)
        bisect.insort(self._entries, key, key=lambda item: item[:2])

    def pop(self) -> Waiting:
        """Remove and return the entry whose turn it is."""
        return self._entries.pop(0)[2]

    def remove_where(self, leaves: Callable[[Waiting], bool]) -> list[Waiting]:
        """Remove and return the entries for which `leaves` holds."""
        gone = [entry for _, _, entry in self._entries if leaves(entry)]
        if gone:
            self._entries = [item for item in self._entries if not leaves(item[2])]
        return gone
