"""Requests of JobService to what they ask for; documented limits are checked here, before anything runs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from eureka.api.v1 import job_service_pb2 as api
from eureka.api.v1 import model_service_pb2
from eureka.errors import EurekaError, InvalidInputError
from eureka.jobs.batch import MAX_CHILDREN
from eureka.jobs.once import CreationRequest
from eureka.jobs.spec import MAX_LABEL_LETTERS, MAX_LABELS, JobSpec, Lane
from eureka.jobs.states import JobState
from eureka.storage.keys import check_job_id
from eureka.storage.store import check_key, check_prefix
from eureka.types import Task
from services.gateway.jobs.messages import LANES, STATES, TASKS

MAX_REQUEST_ID, MAX_DISPLAY_NAME = 128, 255
"""Characters."""

MAX_OBJECT_KEY_BYTES = 900
"""Of 1,024 that a store takes; the rest is for the tenant."""

DEFAULT_PAGE, MAX_PAGE = 50, 200
"""Jobs of a page."""

_OWN_FOLDERS = ("jobs", "batches", "requests", "uploads", "unfinished")
"""Of the platform, below each tenant; uploads are named in another field."""

_UPLOAD = re.compile(r"uploads/[0-9a-f]{32}")

_NAMED_LANES: dict[int, Lane] = {number: lane for lane, number in LANES.items()}
_NAMED_LANES[api.JOB_LANE_UNSPECIFIED] = Lane.DEFAULT
_NAMED_TASKS: dict[int, Task] = {number: task for task, number in TASKS.items()}
_NAMED_STATES: dict[int, JobState] = {number: state for state, number in STATES.items()}


@dataclass(frozen=True, slots=True)
class Source:
    """What is heard; one of these is given.

    Attributes:
        upload: `uploads/{upload}`.
        object_keys: relative to the tenant's prefix.
        prefix: of keys, likewise.
        is_batch: a parent is wanted, whatever the number of files.
    """

    upload: str | None = None
    object_keys: tuple[str, ...] = ()
    prefix: str | None = None
    is_batch: bool = False


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which jobs are listed.

    Attributes:
        page_size: jobs at most.
        after: id of the last job of the page before; empty for the first page.
        fingerprint: of filter and parent; pages of different ones do not mix.
        states: empty for any.
        labels: all of them.
        min_time, max_time: half-open; None is open.
        parent: id of a batch whose children are listed.
    """

    page_size: int
    after: str
    fingerprint: str
    states: frozenset[JobState] = frozenset()
    labels: dict[str, str] = field(default_factory=dict)
    min_time: datetime | None = None
    max_time: datetime | None = None
    parent: str | None = None

    @property
    def token(self) -> str:
        """Token by which the page after `after` is asked for."""
        return f"{self.after}.{self.fingerprint}"


def job_id_in(name: str) -> str:
    """The id in `jobs/{job}`.

    Raises:
        InvalidInputError: reason INVALID_JOB_NAME.
    """
    try:
        return check_job_id(name.removeprefix("jobs/") if name.startswith("jobs/") else "")
    except InvalidInputError as error:
        message = f"{name[:80]!r} is no name of a job; one is jobs/{{job}}, as CreateJob gave it"
        raise InvalidInputError(message, reason="INVALID_JOB_NAME") from error


def source_of(message: api.JobSource) -> Source:
    """Where the bytes are.

    Raises:
        InvalidInputError: NO_AUDIO_SOURCE, INVALID_OBJECT_KEY, TOO_MANY_FILES, REPEATED_FILE.
        EurekaError: reason UPLOAD_NOT_FOUND; no name of an upload.
    """
    kind = message.WhichOneof("source")
    if kind == "upload":
        return Source(upload=message.upload)
    if kind == "object_key":
        return Source(object_keys=(_object_key(message.object_key),))
    if kind == "objects":
        return Source(object_keys=_object_keys(list(message.objects.object_keys)), is_batch=True)
    if kind == "prefix":
        return Source(prefix=_prefix(message.prefix), is_batch=True)
    text = "the job has no source; set upload, object_key, objects or prefix"
    raise InvalidInputError(text, reason="NO_AUDIO_SOURCE")


def is_upload_name(name: str) -> bool:
    """Whether an upload may have this name."""
    return _UPLOAD.fullmatch(name) is not None


def spec_of(config: api.JobConfig, tenant: str, job_id: str, now: datetime) -> JobSpec:
    """What is wanted, under a name that still may change.

    Raises:
        InvalidInputError: INVALID_TASKS, INVALID_LANE, INVALID_LABELS, DEADLINE_PASSED, INVALID_SPEC,
            DISPLAY_NAME_TOO_LONG.
    """
    if len(config.display_name) > MAX_DISPLAY_NAME:
        message = f"display_name has {len(config.display_name)} characters, at most {MAX_DISPLAY_NAME}"
        raise InvalidInputError(message, reason="DISPLAY_NAME_TOO_LONG")
    has_retention = config.HasField("retention_duration")
    return JobSpec(
        tenant=tenant,
        job_id=job_id,
        source_name=config.display_name or "audio",
        tasks=_tasks(list(config.tasks)),
        language=config.language or None,
        lane=_lane(config.lane),
        labels=_labels(dict(config.labels)),
        deadline_time=_deadline(config, now),
        retention_seconds=config.retention_duration.ToNanoseconds() / 1e9 if has_retention else None,
        webhook=config.webhook_url or None,
        has_summary=config.has_summary,
    )


def creation_of(request: api.CreateJobRequest, tenant: str) -> CreationRequest | None:
    """The request as one that may come again; None where it names no id.

    Raises:
        InvalidInputError: reason INVALID_REQUEST_ID.
    """
    if not request.request_id:
        return None
    if len(request.request_id) > MAX_REQUEST_ID:
        message = f"request_id has {len(request.request_id)} characters, at most {MAX_REQUEST_ID}"
        raise InvalidInputError(message, reason="INVALID_REQUEST_ID")
    contents = api.CreateJobRequest(source=request.source, config=request.config)
    digest = hashlib.sha256(contents.SerializeToString(deterministic=True)).hexdigest()
    return CreationRequest(tenant, request.request_id, digest)


def query_of(request: api.ListJobsRequest) -> ListQuery:
    """Which jobs are listed.

    Raises:
        InvalidInputError: INVALID_PAGE_SIZE, INVALID_PAGE_TOKEN, INVALID_JOB_NAME, INVALID_FILTER.
    """
    if request.page_size < 0:
        message = f"page_size is {request.page_size}; it is 0 to {MAX_PAGE}"
        raise InvalidInputError(message, reason="INVALID_PAGE_SIZE")
    asked = api.ListJobsRequest(filter=request.filter, parent=request.parent)
    fingerprint = hashlib.sha256(asked.SerializeToString(deterministic=True)).hexdigest()[:16]
    given = request.filter
    return ListQuery(
        page_size=min(request.page_size or DEFAULT_PAGE, MAX_PAGE),
        after=_after(request.page_token, fingerprint),
        fingerprint=fingerprint,
        states=_states(list(given.states)),
        labels=dict(given.labels),
        min_time=_time(given.min_create_time) if given.HasField("min_create_time") else None,
        max_time=_time(given.max_create_time) if given.HasField("max_create_time") else None,
        parent=job_id_in(request.parent) if request.parent else None,
    )


def _object_keys(keys: list[str]) -> tuple[str, ...]:
    if not keys:
        raise InvalidInputError("a batch needs at least one object key", reason="NO_AUDIO_SOURCE")
    check_number_of_files(len(keys))
    if len(set(keys)) < len(keys):
        raise InvalidInputError("a batch names an object twice", reason="REPEATED_FILE")
    return tuple(map(_object_key, keys))


def check_number_of_files(number: int) -> None:
    """Refuse a batch that is too large.

    Raises:
        InvalidInputError: reason TOO_MANY_FILES.
    """
    if number > MAX_CHILDREN:
        message = f"more files than a batch holds, which is {MAX_CHILDREN:,}; make several"
        raise InvalidInputError(message, reason="TOO_MANY_FILES")


def _object_key(key: str) -> str:
    try:
        check_key(key)
    except EurekaError as error:
        raise _invalid_key(key, error.message) from error
    return _callers_own(key)


def _prefix(prefix: str) -> str:
    if "/" not in prefix:
        raise _invalid_key(prefix, "a prefix holds a slash, such as recordings/")
    try:
        check_prefix(prefix)
    except EurekaError as error:
        raise _invalid_key(prefix, error.message) from error
    return _callers_own(prefix)


def _callers_own(key: str) -> str:
    if len(key.encode()) > MAX_OBJECT_KEY_BYTES:
        raise _invalid_key(key, f"it has more than {MAX_OBJECT_KEY_BYTES} bytes")
    if key.partition("/")[0] in _OWN_FOLDERS:
        raise _invalid_key(key, f"{', '.join(_OWN_FOLDERS)} are the platform's own folders")
    return key


def _invalid_key(key: str, why: str) -> InvalidInputError:
    return InvalidInputError(f"object key {key[:80]!r}: {why}", reason="INVALID_OBJECT_KEY")


def _tasks(numbers: list[int]) -> tuple[Task, ...]:
    if not numbers:
        return tuple(TASKS)
    tasks = [_NAMED_TASKS.get(number) for number in numbers]
    known = tuple(task for task in TASKS if task in tasks)
    if len(known) != len(numbers):
        names = [_name_of(number) for number in numbers]
        message = f"tasks are {', '.join(names)}; TASK_TRANSCRIBE, TASK_CAPTION or both, each once"
        raise InvalidInputError(message, reason="INVALID_TASKS")
    return known


def _name_of(number: int) -> str:
    known = model_service_pb2.Task
    return known.Name(number) if number in known.values() else str(number)


def _lane(number: int) -> Lane:
    lane = _NAMED_LANES.get(number)
    if lane is None:
        raise InvalidInputError(f"lane {number} is none of {', '.join(Lane)}", reason="INVALID_LANE")
    return lane


def _labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > MAX_LABELS:
        message = f"{len(labels)} labels, at most {MAX_LABELS}"
        raise InvalidInputError(message, reason="INVALID_LABELS")
    for name, value in labels.items():
        if not 1 <= len(name) <= MAX_LABEL_LETTERS or len(value) > MAX_LABEL_LETTERS:
            message = (
                f"label {name[:40]!r}: names have 1 to {MAX_LABEL_LETTERS} characters, values at most as many"
            )
            raise InvalidInputError(message, reason="INVALID_LABELS")
    return dict(sorted(labels.items()))


def _deadline(config: api.JobConfig, now: datetime) -> datetime | None:
    if not config.HasField("deadline_time"):
        return None
    deadline = _time(config.deadline_time)
    if deadline <= now:
        message = f"deadline_time {deadline.isoformat()} has passed; it is {now.isoformat()}"
        raise InvalidInputError(message, reason="DEADLINE_PASSED")
    return deadline


def _time(moment: Timestamp) -> datetime:
    try:
        return moment.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        message = f"{moment.seconds} s since 1970 is no time of ours"
        raise InvalidInputError(message, reason="INVALID_TIME") from error


def _states(numbers: list[int]) -> frozenset[JobState]:
    named = [number for number in numbers if number != api.JOB_STATE_UNSPECIFIED]
    unknown = [number for number in named if number not in _NAMED_STATES]
    if unknown:
        raise InvalidInputError(f"filter: there is no state {unknown[0]}", reason="INVALID_FILTER")
    return frozenset() if len(named) < len(numbers) else frozenset(_NAMED_STATES[one] for one in named)


def _after(token: str, fingerprint: str) -> str:
    if not token:
        return ""
    job_id, _, given = token.partition(".")
    try:
        check_job_id(job_id)
    except InvalidInputError as error:
        raise _invalid_token() from error
    if given != fingerprint:
        raise _invalid_token()
    return job_id


def _invalid_token() -> InvalidInputError:
    message = "page_token is of no page before with the same parent and filter; begin without one"
    return InvalidInputError(message, reason="INVALID_PAGE_TOKEN")
