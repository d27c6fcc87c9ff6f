"""Scheduler: who gets a slot, who leaves one for it, and whose prompt goes on.

Priorities are strict but for two bounds. A request that leaves its slot for a more urgent one is paused, not
ended. And one request at a time that more urgent ones have kept from decoding for `ageing_seconds`, the
elder, goes first and keeps its slot until it ends. The next one follows after this time again, so that a long
line of old bulk work does not become urgent all at once.

How many can be paused is bounded, too: nobody of a priority starts while one of it is paused, so there are no
more of each priority than slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from eureka.engine.chunks import Chunk, plan_chunks
from eureka.engine.limits import EngineLimits
from eureka.engine.live import NO_SLOT, LiveRequest
from eureka.engine.slots import SlotPool
from eureka.engine.waiting import WaitingLine
from eureka.types import Priority

_ELDER_LOOKS = 0.1
"""How often an elder is looked for, in `ageing_seconds`: it takes a look at every request."""


@dataclass(frozen=True, slots=True, eq=False)
class Admission:
    """A request that may have a slot once `leaving` have left theirs."""

    live: LiveRequest
    leaving: tuple[LiveRequest, ...]


class Scheduler:
    """Slots, the line before them, and the choice between them; does no arithmetic.

    Not thread-safe: the engine guards it.

    Args:
        num_slots: of the backend.
        limits: of the engine.
    """

    def __init__(self, num_slots: int, limits: EngineLimits) -> None:
        self._limits = limits
        self._slots = SlotPool(num_slots)
        self._elder: LiveRequest | None = None
        self._next_elder_time = float("-inf")
        self.line = WaitingLine(limits.max_waiting)
        self.running: dict[int, LiveRequest] = {}

    @property
    def num_slots(self) -> int:
        """Slots in all."""
        return self._slots.num_slots

    @property
    def num_free_slots(self) -> int:
        """Slots that nobody has."""
        return self._slots.num_free

    @property
    def prefilling(self) -> list[LiveRequest]:
        """Requests in slots whose prompt is not through."""
        return [live for live in self.running.values() if not live.is_prefilled]

    @property
    def decoding(self) -> list[LiveRequest]:
        """Requests in slots whose prompt is through."""
        return [live for live in self.running.values() if live.is_prefilled]

    # -- slots -------------------------------------------------------------------------------------

    def choose_admission(self, now: float) -> Admission | None:
        """Take the next request out of the line and say who leaves for it; None where nobody can start."""
        self._choose_elder(now)
        for live in self._candidates():
            leaving = self._leaving_for(live)
            if leaving is not None:
                self.line.remove(live)
                return Admission(live, tuple(leaving))
            if live is self._elder and self._has_free_slot(live, 0):
                return None  # it needs more room in the cache than is left: nobody may take that before it
        return None

    def take_slot(self, live: LiveRequest) -> None:
        """Give a free slot to a request that is not in the line."""
        live.slot = self._slots.take()
        self.running[live.slot] = live

    def leave_slot(self, live: LiveRequest) -> None:
        """Free the slot of a request."""
        del self.running[live.slot]
        self._slots.give_back(live.slot)
        live.slot = NO_SLOT

    def remove(self, live: LiveRequest, now: float) -> None:
        """Forget a request that has ended, wherever it stands."""
        if live.slot == NO_SLOT:
            self.line.remove(live)
        else:
            self.leave_slot(live)
        if live is self._elder:
            self._elder, self._next_elder_time = None, now + self._limits.ageing_seconds

    def check_idle(self) -> None:
        """Assert that nobody owns anything."""
        self._slots.check()
        assert not self.running and not len(self.line), "an idle engine still has requests"
        assert self._slots.num_used == 0 and self._elder is None, "an idle engine still owns slots"

    def _candidates(self) -> Iterator[LiveRequest]:
        """Who may start next, in this order: the first probe, the elder, the first of all others."""
        probe = next((live for live in self.line if live.request.is_probe), None)
        if probe is not None:
            yield probe
        if self._elder is not None and self._elder.slot == NO_SLOT:
            yield self._elder
        others = (live for live in self.line if not live.request.is_probe and live is not self._elder)
        yield from (live for live, _ in zip(others, range(1), strict=False))

    def _leaving_for(self, live: LiveRequest) -> list[LiveRequest] | None:
        """Fewest requests that must leave so that `live` has room; None where that does not help."""
        leaving: list[LiveRequest] = []
        lower = iter(self._lower_than(live))
        while not self._has_room(live, leaving):
            victim = next(lower, None)
            if victim is None:
                return None
            leaving.append(victim)
        return leaving

    def _lower_than(self, live: LiveRequest) -> list[LiveRequest]:
        """Who may be paused for `live`: lowest priority first, then the latest; none for a probe."""
        if live.request.is_probe or self.line.num_paused_bytes >= self._limits.max_paused_bytes:
            return []
        lower = [r for r in self.running.values() if r.priority < live.priority and r is not self._elder]
        return sorted(lower, key=lambda r: (r.priority, -r.arrival))

    def _has_room(self, live: LiveRequest, leaving: list[LiveRequest]) -> bool:
        if not self._has_free_slot(live, len(leaving)):
            return False
        if self._limits.max_held_tokens is None:
            return True
        staying = [r for r in self.running.values() if r not in leaving]
        held = sum(r.num_needed_tokens for r in staying)
        return held + live.num_needed_tokens <= self._limits.max_held_tokens

    def _has_free_slot(self, live: LiveRequest, num_leaving: int) -> bool:
        num_probing = sum(other.request.is_probe for other in self.running.values())
        num_kept = 0 if live.request.is_probe else max(0, self._limits.probe_slots - num_probing)
        return self._slots.num_free + num_leaving > num_kept

    def _choose_elder(self, now: float) -> None:
        if self._elder is not None or now < self._next_elder_time:
            return
        everyone = [*self.line, *self.running.values()]
        highest = max((live.priority for live in everyone), default=0)
        kept = [
            live
            for live in everyone
            if live.priority < min(highest, Priority.INTERACTIVE)
            and live.idle_since is not None
            and live.idle(now) >= self._limits.ageing_seconds
        ]
        self._elder = max(kept, key=lambda live: live.idle(now), default=None)
        self._next_elder_time = now + _ELDER_LOOKS * self._limits.ageing_seconds

    # -- prompts -----------------------------------------------------------------------------------

    def plan_prefill(self) -> list[Chunk]:
        """Chunks of this step, within its budget.

        Less urgent prompts stand still meanwhile: an answer begins when its step ends, so they would make the
        urgent wait for them.
        """
        ready = self._ready()
        others = [live for live in ready if live is not self._elder]
        if others:
            ready = [live for live in ready if self._urgency(live) >= others[0].priority]
        groups = [list(group) for _, group in groupby(ready, key=self._urgency)]
        limits = self._limits
        return plan_chunks(groups, limits.max_step_prefill_tokens, limits.chunk_tokens)

    def _ready(self) -> list[LiveRequest]:
        """Who prefills, most urgent first, but for those whose audio one before them prefills already.

        They go on from the kept prefix once it is there.
        """
        ready: list[LiveRequest] = []
        under_way: set[bytes] = set()
        for live in sorted(self.prefilling, key=self._turn):
            if live.prefix is None or live.num_prefilled > 0 or live.prefix.digest not in under_way:
                ready.append(live)
            if live.prefix is not None and live.num_prefilled < live.prefix.num_tokens:
                under_way.add(live.prefix.digest)
        return ready

    def _urgency(self, live: LiveRequest) -> int:
        return max(live.priority, Priority.INTERACTIVE) if live is self._elder else live.priority

    def _turn(self, live: LiveRequest) -> tuple[int, bool, int]:
        return -self._urgency(live), live is not self._elder, live.arrival
