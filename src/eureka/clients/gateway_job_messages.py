"""Jobs to and from messages of eureka.api.v1: pure functions for both clients."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from eureka.api.v1 import job_service_pb2 as api
from eureka.api.v1 import model_service_pb2
from eureka.clients.gateway_job_types import (
    Burst,
    Job,
    JobFailure,
    JobFilter,
    JobLane,
    JobOptions,
    JobPage,
    JobSegment,
    JobState,
    JobUpdate,
    ResultForm,
    ResultInfo,
    StoredObject,
    StoredObjects,
    StoredPrefix,
)
from eureka.clients.gateway_messages import duration_of
from eureka.clients.gateway_results import name_in, seconds_of, segment_of
from eureka.clients.gateway_types import Upload
from eureka.errors import InvalidInputError
from eureka.types import Task

_FORMATS = {
    form: f"RESULT_FORMAT_{'LABEL_STUDIO' if form is ResultForm.LABEL_STUDIO else form.name}"
    for form in ResultForm
}


def source_message(source: Upload | StoredObject | StoredObjects | StoredPrefix) -> api.JobSource:
    """What is heard."""
    if isinstance(source, Upload):
        return api.JobSource(upload=source.name)
    if isinstance(source, StoredObject):
        return api.JobSource(object_key=source.key)
    if isinstance(source, StoredObjects):
        return api.JobSource(objects=api.ObjectList(object_keys=source.keys))
    return api.JobSource(prefix=source.prefix)


def create_request(
    source: api.JobSource, options: JobOptions, request_id: str, validate_only: bool
) -> api.CreateJobRequest:
    """Request of CreateJob.

    Raises:
        InvalidInputError: reason NO_TIME_ZONE, or INVALID_TASKS for a task that no job has.
    """
    config = config_message(options)
    return api.CreateJobRequest(
        source=source, config=config, request_id=request_id, validate_only=validate_only
    )


def config_message(options: JobOptions) -> api.JobConfig:
    """What is wanted; raises as `create_request`."""
    config = api.JobConfig(
        display_name=options.display_name,
        tasks=[_task_number(task) for task in options.tasks],
        language=options.language,
        lane=f"JOB_LANE_{JobLane(options.lane).name}",
        labels=options.labels,
        webhook_url=options.webhook,
        has_summary=options.has_summary,
    )
    if options.deadline_time is not None:
        config.deadline_time.CopyFrom(_timestamp(options.deadline_time))
    if options.retention_seconds is not None:
        config.retention_duration.CopyFrom(duration_of(options.retention_seconds))
    return config


def list_request(wanted: JobFilter, parent: str, page_size: int, page_token: str) -> api.ListJobsRequest:
    """Request of ListJobs.

    Raises:
        InvalidInputError: reason NO_TIME_ZONE.
    """
    given = api.JobFilter(
        states=[f"JOB_STATE_{JobState(state).name}" for state in wanted.states], labels=wanted.labels
    )
    if wanted.min_create_time is not None:
        given.min_create_time.CopyFrom(_timestamp(wanted.min_create_time))
    if wanted.max_create_time is not None:
        given.max_create_time.CopyFrom(_timestamp(wanted.max_create_time))
    return api.ListJobsRequest(filter=given, parent=parent, page_size=page_size, page_token=page_token)


def result_request(name: str, form: ResultForm, accepts_link: bool) -> api.GetResultRequest:
    """Request of GetResult."""
    return api.GetResultRequest(name=name, format=_FORMATS[ResultForm(form)], accepts_link=accepts_link)


def job_of(job: api.Job) -> Job:
    """A job as it stands."""
    progress = job.progress
    return Job(
        name=job.name,
        state=state_of(job.state),
        options=_options(job.config),
        parent=job.parent,
        ended_seconds=seconds_of(progress.ended_duration),
        total_seconds=seconds_of(progress.total_duration),
        num_ended=progress.ended_window_count,
        num_windows=progress.total_window_count,
        round_number=job.round,
        create_time=_time(job, "create_time"),
        error=JobFailure(job.error.code, job.error.reason, job.error.message)
        if job.HasField("error")
        else None,
        reasons=tuple(job.reasons),
        children=_children(job.children) if job.HasField("children") else None,
        estimated_end_time=_time(job, "estimated_end_time"),
        burst=_burst(job.burst) if job.HasField("burst") else None,
    )


def _burst(burst: api.Burst) -> Burst:
    names = {value.number: value.name for value in api.Burst.DESCRIPTOR.enum_types_by_name["State"].values}
    state = names.get(burst.state, "").removeprefix("STATE_").replace("UNSPECIFIED", "")
    return Burst(
        burst.name,
        state,
        burst.active_worker_count,
        burst.ready_worker_count,
        burst.failed_worker_count,
        burst.reason,
        burst.message,
    )


def page_of(response: api.ListJobsResponse) -> JobPage:
    """A page of jobs."""
    return JobPage(tuple(map(job_of, response.jobs)), response.next_page_token)


def update_of(response: api.WatchJobResponse) -> JobUpdate:
    """News of a watched job."""
    segments = tuple(
        JobSegment(segment_of(each.segment), task, each.window, each.round)
        for each in response.segments
        if (task := _task(each.task)) is not None
    )
    return JobUpdate(job_of(response.job), segments, response.resume_token)


def info_of(head: api.ResultHead) -> ResultInfo:
    """What a result is."""
    return ResultInfo(state_of(head.state), head.round, head.media_type, head.size_bytes, head.url)


def state_of(number: int) -> JobState:
    """A state; UNKNOWN for one that this client does not know yet."""
    name = name_in(api.JobState, number, "JOB_STATE_")
    return JobState.__members__.get(name, JobState.UNKNOWN)


def _options(config: api.JobConfig) -> JobOptions:
    lane = name_in(api.JobLane, config.lane, "JOB_LANE_")
    has_retention = config.HasField("retention_duration")
    return JobOptions(
        tasks=_tasks(config.tasks),
        language=config.language,
        lane=JobLane.__members__.get(lane, JobLane.DEFAULT),
        labels=dict(config.labels),
        deadline_time=_time(config, "deadline_time"),
        retention_seconds=seconds_of(config.retention_duration) if has_retention else None,
        webhook=config.webhook_url,
        has_summary=config.has_summary,
        display_name=config.display_name,
    )


def _failure(error: api.JobError) -> JobFailure:
    return JobFailure(error.code, error.reason, error.message)


def _children(counts: api.ChildCounts) -> dict[JobState, int]:
    return {
        JobState.PENDING: counts.pending_count,
        JobState.RUNNING: counts.running_count,
        JobState.SUCCEEDED: counts.succeeded_count,
        JobState.PARTIAL: counts.partial_count,
        JobState.FAILED: counts.failed_count,
        JobState.CANCELLED: counts.cancelled_count,
    }


def _tasks(numbers: Sequence[int]) -> tuple[Task, ...]:
    return tuple(task for number in numbers if (task := _task(number)) is not None)


def _task(number: int) -> Task | None:
    return Task.__members__.get(name_in(model_service_pb2.Task, number, "TASK_"))


def _task_number(task: Task) -> Any:
    return f"TASK_{Task(task).name}"


def _time(message: Message, name: str) -> datetime | None:
    moment: Timestamp = getattr(message, name)
    return moment.ToDatetime(tzinfo=UTC) if message.HasField(name) else None


def _timestamp(moment: datetime) -> Timestamp:
    if moment.tzinfo is None:
        message = f"{moment.isoformat()} has no time zone; say which one is meant"
        raise InvalidInputError(message, reason="NO_TIME_ZONE")
    timestamp = Timestamp()
    timestamp.FromDatetime(moment.astimezone(UTC))
    return timestamp
