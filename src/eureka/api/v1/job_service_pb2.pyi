import datetime

from eureka.api.v1 import content_pb2 as _content_pb2
from eureka.api.v1 import model_service_pb2 as _model_service_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_PENDING: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_PARTIAL: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]

class JobLane(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_LANE_UNSPECIFIED: _ClassVar[JobLane]
    JOB_LANE_INTERACTIVE: _ClassVar[JobLane]
    JOB_LANE_DEFAULT: _ClassVar[JobLane]
    JOB_LANE_BULK: _ClassVar[JobLane]

class ResultFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESULT_FORMAT_UNSPECIFIED: _ClassVar[ResultFormat]
    RESULT_FORMAT_JSON: _ClassVar[ResultFormat]
    RESULT_FORMAT_SRT: _ClassVar[ResultFormat]
    RESULT_FORMAT_VTT: _ClassVar[ResultFormat]
    RESULT_FORMAT_TXT: _ClassVar[ResultFormat]
    RESULT_FORMAT_CSV: _ClassVar[ResultFormat]
    RESULT_FORMAT_LABEL_STUDIO: _ClassVar[ResultFormat]
    RESULT_FORMAT_AUDACITY: _ClassVar[ResultFormat]
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_PENDING: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_PARTIAL: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
JOB_LANE_UNSPECIFIED: JobLane
JOB_LANE_INTERACTIVE: JobLane
JOB_LANE_DEFAULT: JobLane
JOB_LANE_BULK: JobLane
RESULT_FORMAT_UNSPECIFIED: ResultFormat
RESULT_FORMAT_JSON: ResultFormat
RESULT_FORMAT_SRT: ResultFormat
RESULT_FORMAT_VTT: ResultFormat
RESULT_FORMAT_TXT: ResultFormat
RESULT_FORMAT_CSV: ResultFormat
RESULT_FORMAT_LABEL_STUDIO: ResultFormat
RESULT_FORMAT_AUDACITY: ResultFormat

class ObjectList(_message.Message):
    __slots__ = ("object_keys",)
    OBJECT_KEYS_FIELD_NUMBER: _ClassVar[int]
    object_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, object_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class JobSource(_message.Message):
    __slots__ = ("upload", "object_key", "objects", "prefix")
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    OBJECT_KEY_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    upload: str
    object_key: str
    objects: ObjectList
    prefix: str
    def __init__(self, upload: _Optional[str] = ..., object_key: _Optional[str] = ..., objects: _Optional[_Union[ObjectList, _Mapping]] = ..., prefix: _Optional[str] = ...) -> None: ...

class JobProgress(_message.Message):
    __slots__ = ("ended_duration", "total_duration", "ended_window_count", "total_window_count")
    ENDED_DURATION_FIELD_NUMBER: _ClassVar[int]
    TOTAL_DURATION_FIELD_NUMBER: _ClassVar[int]
    ENDED_WINDOW_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_WINDOW_COUNT_FIELD_NUMBER: _ClassVar[int]
    ended_duration: _duration_pb2.Duration
    total_duration: _duration_pb2.Duration
    ended_window_count: int
    total_window_count: int
    def __init__(self, ended_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., ended_window_count: _Optional[int] = ..., total_window_count: _Optional[int] = ...) -> None: ...

class JobError(_message.Message):
    __slots__ = ("code", "reason", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    reason: str
    message: str
    def __init__(self, code: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ChildCounts(_message.Message):
    __slots__ = ("pending_count", "running_count", "succeeded_count", "partial_count", "failed_count", "cancelled_count", "deleted_count")
    PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    pending_count: int
    running_count: int
    succeeded_count: int
    partial_count: int
    failed_count: int
    cancelled_count: int
    deleted_count: int
    def __init__(self, pending_count: _Optional[int] = ..., running_count: _Optional[int] = ..., succeeded_count: _Optional[int] = ..., partial_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., cancelled_count: _Optional[int] = ..., deleted_count: _Optional[int] = ...) -> None: ...

class JobConfig(_message.Message):
    __slots__ = ("display_name", "tasks", "language", "lane", "labels", "deadline_time", "retention_duration", "webhook_url", "has_summary")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    RETENTION_DURATION_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_URL_FIELD_NUMBER: _ClassVar[int]
    HAS_SUMMARY_FIELD_NUMBER: _ClassVar[int]
    display_name: str
    tasks: _containers.RepeatedScalarFieldContainer[_model_service_pb2.Task]
    language: str
    lane: JobLane
    labels: _containers.ScalarMap[str, str]
    deadline_time: _timestamp_pb2.Timestamp
    retention_duration: _duration_pb2.Duration
    webhook_url: str
    has_summary: bool
    def __init__(self, display_name: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[_model_service_pb2.Task, str]]] = ..., language: _Optional[str] = ..., lane: _Optional[_Union[JobLane, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., deadline_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., retention_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., webhook_url: _Optional[str] = ..., has_summary: _Optional[bool] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("name", "parent", "config", "state", "progress", "round", "create_time", "error", "reasons", "children", "estimated_end_time", "burst")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_END_TIME_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    name: str
    parent: str
    config: JobConfig
    state: JobState
    progress: JobProgress
    round: int
    create_time: _timestamp_pb2.Timestamp
    error: JobError
    reasons: _containers.RepeatedScalarFieldContainer[str]
    children: ChildCounts
    estimated_end_time: _timestamp_pb2.Timestamp
    burst: Burst
    def __init__(self, name: _Optional[str] = ..., parent: _Optional[str] = ..., config: _Optional[_Union[JobConfig, _Mapping]] = ..., state: _Optional[_Union[JobState, str]] = ..., progress: _Optional[_Union[JobProgress, _Mapping]] = ..., round: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[JobError, _Mapping]] = ..., reasons: _Optional[_Iterable[str]] = ..., children: _Optional[_Union[ChildCounts, _Mapping]] = ..., estimated_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., burst: _Optional[_Union[Burst, _Mapping]] = ...) -> None: ...

class Burst(_message.Message):
    __slots__ = ("name", "state", "active_worker_count", "ready_worker_count", "failed_worker_count", "reason", "message")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Burst.State]
        STATE_PENDING: _ClassVar[Burst.State]
        STATE_RUNNING: _ClassVar[Burst.State]
        STATE_SUCCEEDED: _ClassVar[Burst.State]
        STATE_FAILED: _ClassVar[Burst.State]
    STATE_UNSPECIFIED: Burst.State
    STATE_PENDING: Burst.State
    STATE_RUNNING: Burst.State
    STATE_SUCCEEDED: Burst.State
    STATE_FAILED: Burst.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_WORKER_COUNT_FIELD_NUMBER: _ClassVar[int]
    READY_WORKER_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_WORKER_COUNT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: Burst.State
    active_worker_count: int
    ready_worker_count: int
    failed_worker_count: int
    reason: str
    message: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[Burst.State, str]] = ..., active_worker_count: _Optional[int] = ..., ready_worker_count: _Optional[int] = ..., failed_worker_count: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class CreateJobRequest(_message.Message):
    __slots__ = ("source", "config", "request_id", "validate_only")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    source: JobSource
    config: JobConfig
    request_id: str
    validate_only: bool
    def __init__(self, source: _Optional[_Union[JobSource, _Mapping]] = ..., config: _Optional[_Union[JobConfig, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class CreateJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class JobFilter(_message.Message):
    __slots__ = ("states", "labels", "min_create_time", "max_create_time")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MIN_CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MAX_CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[JobState]
    labels: _containers.ScalarMap[str, str]
    min_create_time: _timestamp_pb2.Timestamp
    max_create_time: _timestamp_pb2.Timestamp
    def __init__(self, states: _Optional[_Iterable[_Union[JobState, str]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., min_create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., max_create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "filter", "parent")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    filter: JobFilter
    parent: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[_Union[JobFilter, _Mapping]] = ..., parent: _Optional[str] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("name", "resume_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    resume_token: str
    def __init__(self, name: _Optional[str] = ..., resume_token: _Optional[str] = ...) -> None: ...

class PartialSegment(_message.Message):
    __slots__ = ("segment", "task", "window", "round")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    segment: _content_pb2.Segment
    task: _model_service_pb2.Task
    window: int
    round: int
    def __init__(self, segment: _Optional[_Union[_content_pb2.Segment, _Mapping]] = ..., task: _Optional[_Union[_model_service_pb2.Task, str]] = ..., window: _Optional[int] = ..., round: _Optional[int] = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("job", "segments", "resume_token")
    JOB_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job: Job
    segments: _containers.RepeatedCompositeFieldContainer[PartialSegment]
    resume_token: str
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., segments: _Optional[_Iterable[_Union[PartialSegment, _Mapping]]] = ..., resume_token: _Optional[str] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class RetryJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RetryJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class DeleteJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateUploadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateUploadResponse(_message.Message):
    __slots__ = ("upload", "put_url", "expire_time")
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    PUT_URL_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    upload: str
    put_url: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, upload: _Optional[str] = ..., put_url: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetResultRequest(_message.Message):
    __slots__ = ("name", "format", "accepts_link")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_LINK_FIELD_NUMBER: _ClassVar[int]
    name: str
    format: ResultFormat
    accepts_link: bool
    def __init__(self, name: _Optional[str] = ..., format: _Optional[_Union[ResultFormat, str]] = ..., accepts_link: _Optional[bool] = ...) -> None: ...

class ResultHead(_message.Message):
    __slots__ = ("state", "round", "media_type", "size_bytes", "url")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    state: JobState
    round: int
    media_type: str
    size_bytes: int
    url: str
    def __init__(self, state: _Optional[_Union[JobState, str]] = ..., round: _Optional[int] = ..., media_type: _Optional[str] = ..., size_bytes: _Optional[int] = ..., url: _Optional[str] = ...) -> None: ...

class GetResultResponse(_message.Message):
    __slots__ = ("head", "data")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    head: ResultHead
    data: bytes
    def __init__(self, head: _Optional[_Union[ResultHead, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...
