"""The metrics of jobs: what has ended, and what is left to do; shown by workers, beside those of `metrics`.

What is left is known to the process that sweeps; all others show none of it, so that sums over workers are
right. Lanes, states and endings are few; nothing here knows ids or tenants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from eureka.jobs.states import JobState
from eureka.runtime.metrics import DURATION_BUCKETS
from eureka.types import Ending

JOB_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)
"""Seconds: from a clip to a day of recordings."""


@dataclass(frozen=True, slots=True)
class LaneBacklog:
    """What is left to do in a lane.

    Attributes:
        num_pending: jobs without a plan; how long their audio is nobody knows yet.
        num_running: jobs with one.
        audio_seconds: audio of their windows that have not ended.
        oldest_seconds: age of the oldest job among them; 0 without one.
        tasks_waiting: messages that wait for a worker.
    """

    num_pending: int = 0
    num_running: int = 0
    audio_seconds: float = 0.0
    oldest_seconds: float = 0.0
    tasks_waiting: int = 0


class JobMetrics:
    """Jobs as one worker sees them.

    Args:
        component: worker or sweeper.
        registry: where they are registered; one JobMetrics a registry.
    """

    def __init__(self, component: str, registry: CollectorRegistry) -> None:
        self._component = component
        labels = ("component", "lane")
        self._windows = Counter(
            "eureka_windows_total",
            "Windows of jobs that ended so.",
            ("component", "ending"),
            registry=registry,
        )
        self._ended = Counter(
            "eureka_jobs_total", "Rounds of jobs that ended so.", ("component", "state"), registry=registry
        )
        self._duration = Histogram(
            "eureka_job_duration_seconds",
            "From the creation of a job to the end of its first round.",
            labels,
            registry=registry,
            buckets=JOB_BUCKETS,
        )
        self._sweeps = Histogram(
            "eureka_sweep_duration_seconds",
            "Of one look at all jobs.",
            ("component",),
            registry=registry,
            buckets=DURATION_BUCKETS,
        )
        self._swept = Gauge(
            "eureka_last_sweep_timestamp_seconds",
            "When the last look at all jobs ended, in seconds since 1970; absent where another one looks.",
            ("component",),
            registry=registry,
        )
        self._jobs = Gauge(
            "eureka_jobs_unfinished", "Jobs that have not ended.", (*labels, "state"), registry=registry
        )
        self._audio = Gauge(
            "eureka_queued_audio_seconds", "Audio of windows that have not ended.", labels, registry=registry
        )
        self._oldest = Gauge(
            "eureka_oldest_job_seconds",
            "Age of the oldest job that has not ended.",
            labels,
            registry=registry,
        )
        self._waiting = Gauge(
            "eureka_tasks_waiting", "Messages that wait for a worker.", labels, registry=registry
        )

        for ending in Ending:  # from 0 on: an increase can only be seen from somewhere
            self._windows.labels(component, ending.value)
        for state in (state for state in JobState if state.is_final):
            self._ended.labels(component, state.value)

    def record_window(self, ending: str) -> None:
        """The document of a window was written; `ending` is the worst of its tracks."""
        self._windows.labels(self._component, ending).inc()

    def record_job(self, state: str, lane: str, duration_seconds: float | None = None) -> None:
        """A round of a job ended; `duration_seconds` of its first one only."""
        self._ended.labels(self._component, state).inc()
        if duration_seconds is not None:
            self._duration.labels(self._component, lane).observe(duration_seconds)

    def record_sweep(self, now: float, duration_seconds: float, lanes: Mapping[str, LaneBacklog]) -> None:
        """This process looked at all jobs, which ended at `now` (seconds since 1970), and found `lanes`."""
        self._sweeps.labels(self._component).observe(duration_seconds)
        self._swept.labels(self._component).set(now)
        for lane, left in lanes.items():
            self._jobs.labels(self._component, lane, "PENDING").set(left.num_pending)
            self._jobs.labels(self._component, lane, "RUNNING").set(left.num_running)
            self._audio.labels(self._component, lane).set(left.audio_seconds)
            self._oldest.labels(self._component, lane).set(left.oldest_seconds)
            self._waiting.labels(self._component, lane).set(left.tasks_waiting)

    def record_rest(self) -> None:
        """Another process looks at the jobs: what is left is shown there."""
        for gauge in (self._jobs, self._audio, self._oldest, self._waiting, self._swept):
            gauge.clear()
