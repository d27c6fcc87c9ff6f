"""WaitingLine: accepted requests that have no slot yet."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from eureka.engine.handle import RequestHandle
from eureka.engine.request import Label, Request
from eureka.errors import QueueFullError

_PROBE_PLACES = 8
"""Places behind the last one that only probes take: a few services ask, each of them one at a time."""


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
        max_waiting: entries beyond this are refused; some probes fit in nevertheless.
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
        num_places = self._max_waiting + (_PROBE_PLACES if entry.request.is_probe else 0)
        if len(self._entries) >= num_places:
            raise QueueFullError(f"{len(self)} requests wait already, the limit; try again later")
        key = (-entry.request.priority, next(self._arrivals), entry)
        bisect.insort(self._entries, key, key=lambda item: item[:2])

    def pop(self, num_free: int, num_kept: int) -> Waiting | None:
        """Remove and return the entry whose turn it is; None where there is no slot for it.

        Args:
            num_free: slots that are free.
            num_kept: how many of them only a probe may take.
        """
        if not self._entries:
            return None
        is_probe = self._entries[0][2].request.is_probe
        return self._entries.pop(0)[2] if num_free > (0 if is_probe else num_kept) else None

    def remove_where(self, leaves: Callable[[Waiting], bool]) -> list[Waiting]:
        """Remove and return the entries for which `leaves` holds."""
        gone = [entry for _, _, entry in self._entries if leaves(entry)]
        if gone:
            self._entries = [item for item in self._entries if not leaves(item[2])]
        return gone
