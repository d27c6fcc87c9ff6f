"""What is left to do, lane by lane, gathered while jobs are looked at; the sweeping worker shows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from eureka.clients.task_queue import BURST_LANE, LANES
from eureka.clients.work_record import QueuedMarks
from eureka.jobs.reading import JobView
from eureka.runtime.job_metrics import JobMetrics, LaneBacklog
from eureka.storage.keys import JobKeys, created_time
from eureka.types import SAMPLE_RATE_HZ

BURST = "burst"
"""What is left of all batches that have workers of their own; workers of the lanes need not grow for it."""


@dataclass(frozen=True, slots=True)
class JobLeft:
    """What is left of one job.

    Attributes:
        lane: its lane, or `BURST`.
        created: when it was made, in seconds since 1970.
        is_planned: whether its windows are known.
        audio_seconds: of those that have not ended.
        noted: when this was found, in seconds of a growing clock.
    """

    lane: str
    created: float
    is_planned: bool
    audio_seconds: float
    noted: float


class Backlog:
    """The jobs that have not ended, as they were last looked at; for any number of threads.

    Args:
        clock: seconds, growing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: dict[JobKeys, JobLeft] = {}

    def note(self, keys: JobKeys, lane: str, view: JobView | None) -> None:
        """A job that has not ended, and where it is queued; `view` is None before its plan."""
        lane = BURST if lane.startswith(BURST_LANE) else lane
        seconds = 0.0 if view is None else _missing_seconds(view)
        created = created_time(keys.job_id).timestamp()
        with self._lock:
            self._jobs[keys] = JobLeft(lane, created, view is not None, seconds, self._clock())

    def forget(self, keys: JobKeys) -> None:
        """A job that has ended, or is gone."""
        with self._lock:
            self._jobs.pop(keys, None)

    def forget_before(self, started: float) -> None:
        """Jobs that nobody has found since `started`, on the clock."""
        with self._lock:
            self._jobs = {keys: left for keys, left in self._jobs.items() if left.noted >= started}

    def lanes(self, now: float) -> dict[str, LaneBacklog]:
        """What is left in each lane at `now`, seconds since 1970; without what waits in the queue."""
        with self._lock:
            jobs = list(self._jobs.values())
        return {lane: _summed([left for left in jobs if left.lane == lane], now) for lane in (*LANES, BURST)}


@dataclass(frozen=True, slots=True)
class ShownBacklog:
    """Shows the backlog after each sweep; the `SweepObserver` of a worker.

    Attributes:
        backlog: what sweeps find.
        marks: know the queue.
        metrics: show it.
        utc: seconds since 1970.
    """

    backlog: Backlog
    marks: QueuedMarks
    metrics: JobMetrics
    utc: Callable[[], float] = time.time

    def swept(self, started: float, ended: float) -> None:
        """All jobs were looked at between these times, of a growing clock."""
        self.backlog.forget_before(started)
        now = self.utc()
        lanes = {
            lane: replace(left, tasks_waiting=self.marks.num_waiting(lane)) if lane in LANES else left
            for lane, left in self.backlog.lanes(now).items()
        }
        self.metrics.record_sweep(now, ended - started, lanes)

    def resting(self) -> None:
        """Another worker looks at them."""
        self.metrics.record_rest()


def _missing_seconds(view: JobView) -> float:
    windows = {window.index: window for window in view.latest.plan.windows}
    num_samples = sum(windows[index].owned.num_samples for index in view.latest.missing)
    return num_samples / SAMPLE_RATE_HZ


def _summed(jobs: list[JobLeft], now: float) -> LaneBacklog:
    num_running = sum(left.is_planned for left in jobs)
    return LaneBacklog(
        num_pending=len(jobs) - num_running,
        num_running=num_running,
        audio_seconds=sum(left.audio_seconds for left in jobs),
        oldest_seconds=max((now - left.created for left in jobs), default=0.0),
    )
