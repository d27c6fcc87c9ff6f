"""What the tasks of one worker share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

from eureka.clients.task_queue import TaskQueue
from eureka.clients.work_record import BurstMarks, QueuedMarks, RedisClaims
from eureka.jobs.hearing import Clocks
from eureka.jobs.job_store import JobStore
from eureka.jobs.source import AudioOpener, SpanFetcher
from eureka.runtime.settings_jobs import WorkerSettings
from workers.backlog import Backlog
from workers.stages import WorkerStages
from workers.traces import TaskTraces


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What the tasks of one worker share; all of it is for threads.

    Attributes:
        settings: of the worker.
        jobs: documents of jobs.
        queue: starts further tasks.
        claims: who is at what.
        marks: what is queued.
        stages: hear.
        opener: decodes, in children.
        silence_dbfs: level that silence is told by.
        clocks: see there.
        stopping: set when the worker is to end.
        backlog: what looks at jobs found to be left.
        traces: which trace each task belongs to.
        bursts: which batches have workers of their own; None where nobody says.
    """

    settings: WorkerSettings
    jobs: JobStore
    queue: TaskQueue
    claims: RedisClaims
    marks: QueuedMarks
    stages: WorkerStages
    opener: AudioOpener
    silence_dbfs: float
    clocks: Clocks = field(default_factory=lambda: Clocks(utc_now))
    stopping: threading.Event = field(default_factory=threading.Event)
    backlog: Backlog = field(default_factory=Backlog)
    traces: TaskTraces = field(default_factory=TaskTraces)
    bursts: BurstMarks | None = None
    _local: threading.local = field(default_factory=threading.local)

    def fetcher(self) -> SpanFetcher:
        """That of this thread, which may be in the middle of an audio."""
        if not hasattr(self._local, "fetcher"):
            self._local.fetcher = SpanFetcher(self.jobs.objects, self.opener)
        found: SpanFetcher = self._local.fetcher
        return found
