from eureka.stage.v1 import call_pb2 as _call_pb2
from eureka.stage.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AdaptRequest(_message.Message):
    __slots__ = ("encoder_frames", "priority")
    ENCODER_FRAMES_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    encoder_frames: _tensor_pb2.Tensor
    priority: _call_pb2.Priority
    def __init__(self, encoder_frames: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., priority: _Optional[_Union[_call_pb2.Priority, str]] = ...) -> None: ...

class AdaptResponse(_message.Message):
    __slots__ = ("audio_embeddings", "stage_durations")
    AUDIO_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    STAGE_DURATIONS_FIELD_NUMBER: _ClassVar[int]
    audio_embeddings: _tensor_pb2.Tensor
    stage_durations: _containers.RepeatedCompositeFieldContainer[_call_pb2.StageDuration]
    def __init__(self, audio_embeddings: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., stage_durations: _Optional[_Iterable[_Union[_call_pb2.StageDuration, _Mapping]]] = ...) -> None: ...
