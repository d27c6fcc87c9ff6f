"""Jobs as messages of eureka.api.v1."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from eureka.api.v1 import job_service_pb2 as api
from eureka.api.v1 import model_service_pb2
from eureka.clients.cluster.bursts import BurstState, BurstStatus
from eureka.clients.decoder_wire import duration_of
from eureka.jobs.outcome import WindowOutcome
from eureka.jobs.spec import JobSpec, Lane
from eureka.jobs.states import JobState
from eureka.types import Task
from services.gateway.jobs.reading import Extent, JobSnapshot
from services.gateway.translate import segment_message

STATES = {
    JobState.PENDING: api.JOB_STATE_PENDING,
    JobState.RUNNING: api.JOB_STATE_RUNNING,
    JobState.SUCCEEDED: api.JOB_STATE_SUCCEEDED,
    JobState.PARTIAL: api.JOB_STATE_PARTIAL,
    JobState.FAILED: api.JOB_STATE_FAILED,
    JobState.CANCELLED: api.JOB_STATE_CANCELLED,
}

LANES = {
    Lane.INTERACTIVE: api.JOB_LANE_INTERACTIVE,
    Lane.DEFAULT: api.JOB_LANE_DEFAULT,
    Lane.BULK: api.JOB_LANE_BULK,
}

BURST_STATES = {
    BurstState.PENDING: api.Burst.STATE_PENDING,
    BurstState.RUNNING: api.Burst.STATE_RUNNING,
    BurstState.SUCCEEDED: api.Burst.STATE_SUCCEEDED,
    BurstState.FAILED: api.Burst.STATE_FAILED,
}

TASKS = {
    Task.TRANSCRIBE: model_service_pb2.TASK_TRANSCRIBE,
    Task.CAPTION: model_service_pb2.TASK_CAPTION,
}


def job_message(snapshot: JobSnapshot, end_time: datetime | None = None) -> api.Job:
    """A job as it stands; `end_time` is when it is expected to end."""
    spec, end = snapshot.spec, snapshot.end
    job = api.Job(
        name=spec.name,
        parent=f"jobs/{snapshot.parent}" if snapshot.parent else "",
        config=config_message(spec),
        state=STATES[snapshot.state],
        progress=_progress(snapshot.extent),
        round=snapshot.round_number,
        reasons=end.reasons if end and snapshot.state is JobState.PARTIAL else (),
        children=None if snapshot.children is None else _counts(snapshot.children),
    )
    job.create_time.FromDatetime(spec.create_time)
    if end is not None and end.failure is not None:
        job.error.CopyFrom(api.JobError(**end.failure.to_plain()))
    elif end is not None and snapshot.state is JobState.FAILED:
        job.error.CopyFrom(_error_of_windows(end.reasons))
    if snapshot.burst is not None:
        job.burst.CopyFrom(_burst(snapshot.burst))
    if end_time is not None:
        job.estimated_end_time.FromDatetime(end_time)
    return job


def _burst(status: BurstStatus) -> api.Burst:
    return api.Burst(
        name=status.name,
        state=BURST_STATES[status.state],
        active_worker_count=status.num_active,
        ready_worker_count=status.num_ready,
        failed_worker_count=status.num_failed,
        reason=status.reason,
        message=status.message,
    )


def config_message(spec: JobSpec) -> api.JobConfig:
    """What is wanted, defaults filled in."""
    config = api.JobConfig(
        display_name=spec.source_name,
        tasks=[TASKS[task] for task in spec.tasks],
        language=spec.language or "",
        lane=LANES[spec.lane],
        labels=spec.labels,
        webhook_url=spec.webhook or "",
        has_summary=spec.has_summary,
    )
    if spec.deadline_time is not None:
        config.deadline_time.FromDatetime(spec.deadline_time)
    if spec.retention_seconds is not None:
        config.retention_duration.CopyFrom(duration_of(spec.retention_seconds))
    return config


def partial_segments(outcome: WindowOutcome) -> list[api.PartialSegment]:
    """What a window gave."""
    return [
        api.PartialSegment(
            segment=segment_message(segment),
            task=TASKS[task],
            window=outcome.index,
            round=outcome.round_number,
        )
        for task, track in outcome.tracks.items()
        for piece in track.pieces
        for segment in piece.segments
    ]


def _progress(extent: Extent) -> api.JobProgress:
    return api.JobProgress(
        ended_duration=duration_of(extent.ended_seconds),
        total_duration=duration_of(extent.total_seconds),
        ended_window_count=extent.num_ended,
        total_window_count=extent.num_windows,
    )


def _counts(children: Counter[JobState | None]) -> api.ChildCounts:
    return api.ChildCounts(
        pending_count=children[JobState.PENDING],
        running_count=children[JobState.RUNNING],
        succeeded_count=children[JobState.SUCCEEDED],
        partial_count=children[JobState.PARTIAL],
        failed_count=children[JobState.FAILED],
        cancelled_count=children[JobState.CANCELLED],
        deleted_count=children[None],
    )


def _error_of_windows(reasons: tuple[str, ...]) -> api.JobError:
    """The error of a job all of whose windows failed."""
    message = "; ".join(reasons) or "no window could be heard"
    return api.JobError(code="INTERNAL", reason="ALL_WINDOWS_FAILED", message=message)
