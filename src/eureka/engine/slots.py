"""SlotPool: which row of the KV cache belongs to which request."""

from __future__ import annotations

import heapq


class SlotPool:
    """Hands out slot numbers, lowest first, so that the slots in use stay close together.

    Args:
        num_slots: how many requests may run at once.
    """

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self._free = list(range(num_slots))
        self._used: set[int] = set()

    @property
    def num_free(self) -> int:
        """Slots that a request could take now."""
        return len(self._free)

    @property
    def num_used(self) -> int:
        """Slots owned by running requests."""
        return len(self._used)

    def take(self) -> int:
        """The lowest free slot; the caller has looked at `num_free`."""
        slot = heapq.heappop(self._free)
        self._used.add(slot)
        return slot

    def give_back(self, slot: int) -> None:
        """Free a slot that was taken."""
        assert slot in self._used, f"slot {slot} is not in use"
        self._used.remove(slot)
        heapq.heappush(self._free, slot)

    def check(self) -> None:
        """Assert that each slot is either free or used, once."""
        assert sorted([*self._free, *self._used]) == list(range(self.num_slots)), "a slot leaked"
