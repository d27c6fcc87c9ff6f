"""How jobs get on beside faults: the longest time without progress while nothing was broken."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from eureka.errors import EurekaError
from eureka.jobs.job_store import JobStore
from eureka.storage.keys import JobKeys
from tests.helpers.job_faults import Fault

LOOK_SECONDS = 1.0


@dataclass
class Progress:
    """One job: the times at which more of it had ended than before."""

    num_ended: int = -1
    has_result: bool = False
    times: list[float] = field(default_factory=list)


class ProgressWatch:
    """Looks at jobs while the block lasts.

    Args:
        jobs: where they lie.
    """

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._seen: dict[JobKeys, Progress] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> ProgressWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()

    def add(self, keys: JobKeys) -> None:
        """Look at this one, too."""
        self._seen[keys] = Progress(times=[time.monotonic()])

    def running(self) -> list[JobKeys]:
        """Those that have no result yet."""
        return [keys for keys, seen in self._seen.items() if not seen.has_result]

    def longest_stuck(self, faults: Sequence[Fault]) -> float:
        """Seconds that a job stood still at the longest while nothing was broken."""
        gaps = [gap for seen in self._seen.values() for gap in pairwise(seen.times)]
        return max(_stuck(start, end, faults) for start, end in gaps)

    def _look_on(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            for keys in self.running():
                try:
                    self._look(keys, self._seen[keys])
                except EurekaError:  # the store is away
                    break

    def _look(self, keys: JobKeys, seen: Progress) -> None:
        num_ended = len(self._jobs.ended_windows(keys, 1))
        has_result = self._jobs.objects.exists(keys.result(1))
        if num_ended > seen.num_ended or has_result:
            seen.num_ended, seen.has_result = num_ended, has_result
            seen.times.append(time.monotonic())


def _stuck(start: float, end: float, faults: Sequence[Fault]) -> float:
    """The longest part of a gap in which nothing was broken."""
    edges = [start]
    longest = 0.0
    for fault in sorted(faults, key=lambda one: one.began):
        if fault.healed < start or fault.began > end:
            continue
        longest = max(longest, fault.began - edges[-1])
        edges.append(min(fault.healed, end))
    return max(longest, end - edges[-1])
