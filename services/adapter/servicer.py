"""AdapterService: messages to encoder frames, Triton's answer to messages."""

from __future__ import annotations

from time import perf_counter
from typing import Any, Protocol

from numpy.typing import NDArray

from eureka.clients.tensors import from_tensor, to_tensor
from eureka.errors import InvalidInputError
from eureka.runtime.calls import current_call, current_span
from eureka.runtime.metrics import Metrics
from eureka.stage.v1 import adapter_service_pb2, adapter_service_pb2_grpc, call_pb2, tensor_pb2

FRAMES_PER_SECOND = 50
"""Encoder frames of a second of audio."""

FRAMES_PER_TOKEN = 4
"""Encoder frames, 20 ms each, that one audio token of 80 ms stands for."""


class AdapterModels(Protocol):
    """What the adapter service asks of Triton."""

    async def adapt(self, frames: NDArray[Any], deadline: float | None = None) -> NDArray[Any]:
        """(A, W) audio embeddings of (T, D) encoder frames."""


class AdapterServicer(adapter_service_pb2_grpc.AdapterServiceServicer):
    """Checks what comes in and asks Triton.

    Args:
        models: Triton.
        metrics: of the component.
    """

    def __init__(self, models: AdapterModels, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics

    async def Adapt(
        self, request: adapter_service_pb2.AdaptRequest, context: object
    ) -> adapter_service_pb2.AdaptResponse:
        """Audio embeddings of the frames."""
        frames = frames_of(request.encoder_frames)
        started = perf_counter()
        audio_seconds = len(frames) / FRAMES_PER_SECOND
        current_span().set(audio_seconds=audio_seconds)
        with self._metrics.hearing(audio_seconds):
            embeddings = await self._models.adapt(frames, current_call().deadline)
        took = call_pb2.StageDuration(stage="adapt")
        took.duration.FromNanoseconds(int((perf_counter() - started) * 1e9))
        return adapter_service_pb2.AdaptResponse(
            audio_embeddings=to_tensor(embeddings), stage_durations=[took]
        )


def frames_of(tensor: tensor_pb2.Tensor) -> NDArray[Any]:
    """(T, D) encoder frames of a request.

    Raises:
        InvalidInputError: reason INVALID_TENSOR; not two-dimensional, int16, or T not a multiple of 4.
    """
    frames = from_tensor(tensor)
    if frames.ndim != 2 or frames.dtype.name == "int16":
        message = f"encoder_frames are {frames.dtype.name} {frames.shape}; wanted float (T, D)"
        raise InvalidInputError(message, reason="INVALID_TENSOR")
    num_frames, width = frames.shape
    if num_frames == 0 or num_frames % FRAMES_PER_TOKEN or width == 0:
        message = (
            f"{num_frames} encoder frames of width {width}; wanted a multiple of {FRAMES_PER_TOKEN}, not 0"
        )
        raise InvalidInputError(message, reason="INVALID_TENSOR")
    return frames
