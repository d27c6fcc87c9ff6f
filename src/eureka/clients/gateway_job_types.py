"""Jobs as callers of the gateway see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from eureka.clients.gateway_types import AudioSource
from eureka.types import Segment, Task


class JobState(StrEnum):
    """Where a job stands; UNKNOWN is one that a newer gateway knows."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens unless somebody asks for a retry."""
        return self not in (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)


class JobLane(StrEnum):
    """Queue of a job; results do not depend on it."""

    INTERACTIVE = "interactive"
    DEFAULT = "default"
    BULK = "bulk"


class ResultForm(StrEnum):
    """Forms that a result can be downloaded in."""

    JSON = "json"
    SRT = "srt"
    VTT = "vtt"
    TXT = "txt"
    CSV = "csv"
    LABEL_STUDIO = "labelstudio"
    AUDACITY = "audacity"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of the tenant in the store, by its key relative to the tenant's prefix."""

    key: str


@dataclass(frozen=True, slots=True)
class StoredObjects:
    """A batch of objects, 1 to 1,000."""

    keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class StoredPrefix:
    """A batch of all objects whose keys begin with a prefix such as recordings/."""

    prefix: str


JobSource = AudioSource | StoredObject | StoredObjects | StoredPrefix
"""What a job hears: a file, which is uploaded; an upload; or what lies in the store."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What is wanted of a job.

    Attributes:
        tasks: what is heard, each once.
        language: code or name, a hint.
        lane: queue.
        labels: whatever the job shall be found by.
        deadline_time: what has not ended by then ends DEADLINE; with its time zone.
        retention_seconds: how long after its end it is kept; None keeps it.
        webhook: URL that is told of the end.
        has_summary: whether the result gets a summary of the whole audio.
        display_name: for people; empty takes the name of the file.
    """

    tasks: Sequence[Task] = (Task.TRANSCRIBE, Task.CAPTION)
    language: str = ""
    lane: JobLane = JobLane.DEFAULT
    labels: Mapping[str, str] = field(default_factory=dict)
    deadline_time: datetime | None = None
    retention_seconds: float | None = None
    webhook: str = ""
    has_summary: bool = False
    display_name: str = ""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are listed; all that is given must hold.

    Attributes:
        states: one of these; empty is any.
        labels: all of these.
        min_create_time: made then or later.
        max_create_time: made before.
    """

    states: Sequence[JobState] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    min_create_time: datetime | None = None
    max_create_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why a job failed: the gRPC code's name, a constant word, and a sentence."""

    code: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Burst:
    """The Kubernetes Job of workers that hear one large batch and nothing else.

    Attributes:
        name: of the Kubernetes Job.
        state: PENDING, RUNNING, SUCCEEDED or FAILED; empty for one that this client does not know.
        num_active, num_ready, num_failed: its pods.
        reason, message: why it failed; empty otherwise. The batch goes on by other workers.
    """

    name: str
    state: str
    num_active: int = 0
    num_ready: int = 0
    num_failed: int = 0
    reason: str = ""
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The object of `eureka jobs get --format json`."""
        workers = {"active": self.num_active, "ready": self.num_ready, "failed": self.num_failed}
        plain: dict[str, Any] = {"name": self.name, "state": self.state, "workers": workers}
        if self.reason:
            plain |= {"reason": self.reason, "message": self.message}
        return plain


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands.

    Attributes:
        name: `jobs/{job}`; empty where a creation was only checked.
        state: where it stands.
        options: what is wanted, defaults filled in.
        parent: the batch that it belongs to; empty for others.
        ended_seconds, total_seconds: of the audio; the total is 0 until it is planned.
        num_ended, num_windows: windows that need no more work, and all.
        round_number: the latest, from 1; 0 for a batch.
        create_time: when it was made, in UTC.
        error: why it failed.
        reasons: why it is PARTIAL.
        children: of a batch, how many stand where; None for others.
        estimated_end_time: about when it will end; None where that is unknown.
        burst: the workers of its own that a large batch has while it runs; None without.
    """

    name: str
    state: JobState
    options: JobOptions
    parent: str = ""
    ended_seconds: float = 0.0
    total_seconds: float = 0.0
    num_ended: int = 0
    num_windows: int = 0
    round_number: int = 0
    create_time: datetime | None = None
    error: JobFailure | None = None
    reasons: tuple[str, ...] = ()
    children: Mapping[JobState, int] | None = None
    estimated_end_time: datetime | None = None
    burst: Burst | None = None

    @property
    def progress(self) -> float:
        """Share of the audio that needs no more work, 0 to 1."""
        if self.state is JobState.SUCCEEDED:
            return 1.0
        return min(1.0, self.ended_seconds / self.total_seconds) if self.total_seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The object of `eureka jobs get --format json`."""
        options = self.options
        plain: dict[str, Any] = {
            "name": self.name,
            "state": self.state.value,
            "progress": round(self.progress, 4),
            "ended_seconds": round(self.ended_seconds, 3),
            "total_seconds": round(self.total_seconds, 3),
            "windows": {"ended": self.num_ended, "total": self.num_windows},
            "round": self.round_number,
            "path": options.display_name,
            "tasks": [task.value for task in options.tasks],
            "lane": options.lane.value,
            "labels": dict(options.labels),
            "create_time": _iso(self.create_time),
            "deadline_time": _iso(options.deadline_time),
            "language": options.language or None,
            "webhook": options.webhook or None,
            "reasons": list(self.reasons),
        }
        if self.parent:
            plain["parent"] = self.parent
        if self.children is not None:
            plain["children"] = {state.value.lower(): number for state, number in self.children.items()}
        if self.burst is not None:
            plain["burst"] = self.burst.to_dict()
        if self.estimated_end_time is not None:
            plain["estimated_end_time"] = _iso(self.estimated_end_time)
        if self.error is not None:
            error = self.error
            plain["error"] = {"code": error.code, "reason": error.reason, "message": error.message}
        return plain


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs; `next_token` is empty on the last one."""

    jobs: tuple[Job, ...]
    next_token: str


@dataclass(frozen=True, slots=True)
class JobSegment:
    """What a window gave while its job runs.

    Attributes:
        segment: text and place; seams to neighbours are settled in the result.
        task: whose track it belongs to.
        window: number of the window.
        round_number: round that it was heard in; a later one replaces what earlier ones gave.
    """

    segment: Segment
    task: Task
    window: int
    round_number: int


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """News of a watched job.

    Attributes:
        job: as it stands.
        segments: what ended since the last update.
        resume_token: goes on after this update, in another program even.
    """

    job: Job
    segments: tuple[JobSegment, ...]
    resume_token: str


@dataclass(frozen=True, slots=True)
class ResultInfo:
    """What a result is.

    Attributes:
        state: that it tells of; RUNNING for what was heard so far.
        round_number: that made it.
        media_type: of the bytes.
        size_bytes: in all.
        url: where they are, if they were not sent.
    """

    state: JobState
    round_number: int
    media_type: str
    size_bytes: int
    url: str = ""


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
