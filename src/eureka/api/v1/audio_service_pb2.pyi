import datetime

from eureka.api.v1 import content_pb2 as _content_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TranscribeRequest(_message.Message):
    __slots__ = ("model", "audio", "language", "sampling", "priority", "max_window_duration")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MAX_WINDOW_DURATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    audio: _content_pb2.Audio
    language: str
    sampling: _content_pb2.SamplingParams
    priority: _content_pb2.Priority
    max_window_duration: _duration_pb2.Duration
    def __init__(self, model: _Optional[str] = ..., audio: _Optional[_Union[_content_pb2.Audio, _Mapping]] = ..., language: _Optional[str] = ..., sampling: _Optional[_Union[_content_pb2.SamplingParams, _Mapping]] = ..., priority: _Optional[_Union[_content_pb2.Priority, str]] = ..., max_window_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Track(_message.Message):
    __slots__ = ("channel", "text", "segments", "coverage")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    channel: int
    text: str
    segments: _containers.RepeatedCompositeFieldContainer[_content_pb2.Segment]
    coverage: _containers.RepeatedCompositeFieldContainer[_content_pb2.CoverageRow]
    def __init__(self, channel: _Optional[int] = ..., text: _Optional[str] = ..., segments: _Optional[_Iterable[_Union[_content_pb2.Segment, _Mapping]]] = ..., coverage: _Optional[_Iterable[_Union[_content_pb2.CoverageRow, _Mapping]]] = ...) -> None: ...

class TranscribeResponse(_message.Message):
    __slots__ = ("model", "tracks", "usage")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    model: str
    tracks: _containers.RepeatedCompositeFieldContainer[Track]
    usage: _content_pb2.Usage
    def __init__(self, model: _Optional[str] = ..., tracks: _Optional[_Iterable[_Union[Track, _Mapping]]] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ...) -> None: ...

class CaptionRequest(_message.Message):
    __slots__ = ("model", "audio", "sampling", "priority", "max_window_duration")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MAX_WINDOW_DURATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    audio: _content_pb2.Audio
    sampling: _content_pb2.SamplingParams
    priority: _content_pb2.Priority
    max_window_duration: _duration_pb2.Duration
    def __init__(self, model: _Optional[str] = ..., audio: _Optional[_Union[_content_pb2.Audio, _Mapping]] = ..., sampling: _Optional[_Union[_content_pb2.SamplingParams, _Mapping]] = ..., priority: _Optional[_Union[_content_pb2.Priority, str]] = ..., max_window_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CaptionResponse(_message.Message):
    __slots__ = ("model", "tracks", "usage")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    model: str
    tracks: _containers.RepeatedCompositeFieldContainer[Track]
    usage: _content_pb2.Usage
    def __init__(self, model: _Optional[str] = ..., tracks: _Optional[_Iterable[_Union[Track, _Mapping]]] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ...) -> None: ...

class AskRequest(_message.Message):
    __slots__ = ("model", "conversation", "sampling", "priority")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    model: str
    conversation: _containers.RepeatedCompositeFieldContainer[_content_pb2.Turn]
    sampling: _content_pb2.SamplingParams
    priority: _content_pb2.Priority
    def __init__(self, model: _Optional[str] = ..., conversation: _Optional[_Iterable[_Union[_content_pb2.Turn, _Mapping]]] = ..., sampling: _Optional[_Union[_content_pb2.SamplingParams, _Mapping]] = ..., priority: _Optional[_Union[_content_pb2.Priority, str]] = ...) -> None: ...

class AskResponse(_message.Message):
    __slots__ = ("model", "text", "finish_reason", "coverage", "usage", "logprobs")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    model: str
    text: str
    finish_reason: _content_pb2.FinishReason
    coverage: _containers.RepeatedCompositeFieldContainer[_content_pb2.CoverageRow]
    usage: _content_pb2.Usage
    logprobs: _containers.RepeatedCompositeFieldContainer[_content_pb2.Logprobs]
    def __init__(self, model: _Optional[str] = ..., text: _Optional[str] = ..., finish_reason: _Optional[_Union[_content_pb2.FinishReason, str]] = ..., coverage: _Optional[_Iterable[_Union[_content_pb2.CoverageRow, _Mapping]]] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ..., logprobs: _Optional[_Iterable[_Union[_content_pb2.Logprobs, _Mapping]]] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("model", "audio", "labels", "abstain_below", "priority")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ABSTAIN_BELOW_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    model: str
    audio: _content_pb2.Audio
    labels: _containers.RepeatedScalarFieldContainer[str]
    abstain_below: float
    priority: _content_pb2.Priority
    def __init__(self, model: _Optional[str] = ..., audio: _Optional[_Union[_content_pb2.Audio, _Mapping]] = ..., labels: _Optional[_Iterable[str]] = ..., abstain_below: _Optional[float] = ..., priority: _Optional[_Union[_content_pb2.Priority, str]] = ...) -> None: ...

class LabelScore(_message.Message):
    __slots__ = ("label", "probability", "log_probability")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    label: str
    probability: float
    log_probability: float
    def __init__(self, label: _Optional[str] = ..., probability: _Optional[float] = ..., log_probability: _Optional[float] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("model", "label", "scores", "coverage", "usage")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    model: str
    label: str
    scores: _containers.RepeatedCompositeFieldContainer[LabelScore]
    coverage: _containers.RepeatedCompositeFieldContainer[_content_pb2.CoverageRow]
    usage: _content_pb2.Usage
    def __init__(self, model: _Optional[str] = ..., label: _Optional[str] = ..., scores: _Optional[_Iterable[_Union[LabelScore, _Mapping]]] = ..., coverage: _Optional[_Iterable[_Union[_content_pb2.CoverageRow, _Mapping]]] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("model", "conversation", "sampling", "priority")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    model: str
    conversation: _containers.RepeatedCompositeFieldContainer[_content_pb2.Turn]
    sampling: _content_pb2.SamplingParams
    priority: _content_pb2.Priority
    def __init__(self, model: _Optional[str] = ..., conversation: _Optional[_Iterable[_Union[_content_pb2.Turn, _Mapping]]] = ..., sampling: _Optional[_Union[_content_pb2.SamplingParams, _Mapping]] = ..., priority: _Optional[_Union[_content_pb2.Priority, str]] = ...) -> None: ...

class GenerateEnd(_message.Message):
    __slots__ = ("model", "finish_reason", "coverage", "usage")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    model: str
    finish_reason: _content_pb2.FinishReason
    coverage: _containers.RepeatedCompositeFieldContainer[_content_pb2.CoverageRow]
    usage: _content_pb2.Usage
    def __init__(self, model: _Optional[str] = ..., finish_reason: _Optional[_Union[_content_pb2.FinishReason, str]] = ..., coverage: _Optional[_Iterable[_Union[_content_pb2.CoverageRow, _Mapping]]] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("text", "token_count", "logprobs", "end")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    text: str
    token_count: int
    logprobs: _containers.RepeatedCompositeFieldContainer[_content_pb2.Logprobs]
    end: GenerateEnd
    def __init__(self, text: _Optional[str] = ..., token_count: _Optional[int] = ..., logprobs: _Optional[_Iterable[_Union[_content_pb2.Logprobs, _Mapping]]] = ..., end: _Optional[_Union[GenerateEnd, _Mapping]] = ...) -> None: ...

class UploadConfig(_message.Message):
    __slots__ = ("display_name",)
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    display_name: str
    def __init__(self, display_name: _Optional[str] = ...) -> None: ...

class UploadRequest(_message.Message):
    __slots__ = ("config", "data")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    config: UploadConfig
    data: bytes
    def __init__(self, config: _Optional[_Union[UploadConfig, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class UploadResponse(_message.Message):
    __slots__ = ("upload", "size_bytes", "expire_time")
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    upload: str
    size_bytes: int
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, upload: _Optional[str] = ..., size_bytes: _Optional[int] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
