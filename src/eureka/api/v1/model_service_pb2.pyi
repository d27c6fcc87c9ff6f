import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_UNSPECIFIED: _ClassVar[Task]
    TASK_TRANSCRIBE: _ClassVar[Task]
    TASK_CAPTION: _ClassVar[Task]
    TASK_ASK: _ClassVar[Task]
    TASK_CLASSIFY: _ClassVar[Task]
TASK_UNSPECIFIED: Task
TASK_TRANSCRIBE: Task
TASK_CAPTION: Task
TASK_ASK: Task
TASK_CLASSIFY: Task

class ListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("models", "limits")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    limits: Limits
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class Language(_message.Message):
    __slots__ = ("code", "display_name")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    code: str
    display_name: str
    def __init__(self, code: _Optional[str] = ..., display_name: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "tasks", "languages", "context_token_count", "best_window_duration", "time_step_duration", "repetition_penalty")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    BEST_WINDOW_DURATION_FIELD_NUMBER: _ClassVar[int]
    TIME_STEP_DURATION_FIELD_NUMBER: _ClassVar[int]
    REPETITION_PENALTY_FIELD_NUMBER: _ClassVar[int]
    name: str
    tasks: _containers.RepeatedScalarFieldContainer[Task]
    languages: _containers.RepeatedCompositeFieldContainer[Language]
    context_token_count: int
    best_window_duration: _duration_pb2.Duration
    time_step_duration: _duration_pb2.Duration
    repetition_penalty: float
    def __init__(self, name: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[Task, str]]] = ..., languages: _Optional[_Iterable[_Union[Language, _Mapping]]] = ..., context_token_count: _Optional[int] = ..., best_window_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., time_step_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., repetition_penalty: _Optional[float] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_prompt_audio_duration", "max_window_audio_duration", "max_inline_bytes", "max_upload_bytes", "upload_ttl_duration", "max_message_bytes")
    MAX_PROMPT_AUDIO_DURATION_FIELD_NUMBER: _ClassVar[int]
    MAX_WINDOW_AUDIO_DURATION_FIELD_NUMBER: _ClassVar[int]
    MAX_INLINE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_UPLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_TTL_DURATION_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_prompt_audio_duration: _duration_pb2.Duration
    max_window_audio_duration: _duration_pb2.Duration
    max_inline_bytes: int
    max_upload_bytes: int
    upload_ttl_duration: _duration_pb2.Duration
    max_message_bytes: int
    def __init__(self, max_prompt_audio_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_window_audio_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_inline_bytes: _Optional[int] = ..., max_upload_bytes: _Optional[int] = ..., upload_ttl_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_message_bytes: _Optional[int] = ...) -> None: ...
