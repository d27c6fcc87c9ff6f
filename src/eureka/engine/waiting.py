"""WaitingLine: live requests without a slot, those that have yet to start and those that are paused."""

from __future__ import annotations

import bisect
from collections.abc import Iterator

from eureka.engine.live import LiveRequest
from eureka.errors import QueueFullError

_PROBE_PLACES = 8
"""Places behind the last one that only probes take: a few services ask, each of them one at a time."""


def _place(live: LiveRequest) -> tuple[int, int]:
    return -live.priority, live.arrival


class WaitingLine:
    """Priority first, then order of arrival; so a paused request stands before those it once went before.

    Args:
        max_waiting: requests beyond this are refused; some probes fit in nevertheless. Paused ones take no
            place of others.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._entries: list[LiveRequest] = []

    def __iter__(self) -> Iterator[LiveRequest]:
        return iter(self._entries)

    def __contains__(self, live: LiveRequest) -> bool:
        place = bisect.bisect_left(self._entries, _place(live), key=_place)
        return place < len(self._entries) and self._entries[place] is live

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def num_waiting(self) -> int:
        """Entries that have never had a slot."""
        return len(self._entries) - self.num_paused

    @property
    def num_paused(self) -> int:
        """Entries that have had a slot."""
        return sum(live.is_paused for live in self._entries)

    @property
    def num_paused_bytes(self) -> int:
        """Memory of what the paused ones had in their slots."""
        saved = (live.parked.prefix for live in self._entries if live.parked is not None)
        return sum(prefix.num_bytes for prefix in saved if prefix is not None)

    def add(self, live: LiveRequest) -> None:
        """Give a newcomer its place.

        Raises:
            QueueFullError: the line is full.
        """
        num_waiting = self.num_waiting
        num_places = self._max_waiting + (_PROBE_PLACES if live.request.is_probe else 0)
        if num_waiting >= num_places:
            raise QueueFullError(f"{num_waiting} requests wait already, the limit; try again later")
        self.put_back(live)

    def put_back(self, live: LiveRequest) -> None:
        """Give a request its place, however many wait."""
        bisect.insort(self._entries, live, key=_place)

    def remove(self, live: LiveRequest) -> None:
        """Take a request out, if it is there."""
        if live in self:
            del self._entries[bisect.bisect_left(self._entries, _place(live), key=_place)]
