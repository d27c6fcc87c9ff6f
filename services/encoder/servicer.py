"""EncoderService: messages to pcm, Triton's answer to messages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eureka.clients.tensors import from_tensor, to_tensor
from eureka.engine.messages import AUDIO_FRONTEND
from eureka.errors import AudioTooLongError, InvalidAudioError, InvalidInputError, WrongStateError
from eureka.runtime.calls import current_call, current_span
from eureka.runtime.metrics import Metrics
from eureka.stage.v1 import call_pb2, encoder_service_pb2, encoder_service_pb2_grpc, tensor_pb2
from eureka.types import SAMPLE_RATE_HZ, Pcm

INT16_FULL_SCALE = 32_768
"""int16 samples are divided by it, as decoders of 16-bit files do; exact in float32."""


class EncoderModels(Protocol):
    """What the encoder service asks of Triton."""

    async def infer_frames(self, items: Sequence[Pcm], deadline: float | None = None) -> NDArray[Any]:
        """(T, D) encoder frames of all items."""

    async def embed(self, items: Sequence[Pcm], deadline: float | None = None) -> NDArray[Any]:
        """(A, W) audio embeddings of all items, by the fused model."""

    async def ready(self, model: str) -> bool:
        """Whether Triton holds a model."""


class EncoderServicer(encoder_service_pb2_grpc.EncoderServiceServicer):
    """Checks what comes in and asks Triton.

    Args:
        models: Triton.
        max_audio_seconds: limit of one call.
        metrics: of the component.
    """

    def __init__(self, models: EncoderModels, max_audio_seconds: float, metrics: Metrics) -> None:
        self._models = models
        self._max_audio_seconds = max_audio_seconds
        self._metrics = metrics
        self._has_fused = False

    async def Encode(
        self, request: encoder_service_pb2.EncodeRequest, context: object
    ) -> encoder_service_pb2.EncodeResponse:
        """Encoder frames of all items."""
        items = items_of(request.pcm, self._max_audio_seconds)
        started = perf_counter()
        with self._hearing(items):
            frames = await self._models.infer_frames(items, current_call().deadline)
        return encoder_service_pb2.EncodeResponse(
            encoder_frames=to_tensor(frames), stage_durations=[duration("encode", started)]
        )

    async def Embed(
        self, request: encoder_service_pb2.EmbedRequest, context: object
    ) -> encoder_service_pb2.EmbedResponse:
        """Audio embeddings of all items."""
        items = items_of(request.pcm, self._max_audio_seconds)
        await self._check_fused()
        started = perf_counter()
        with self._hearing(items):
            embeddings = await self._models.embed(items, current_call().deadline)
        return encoder_service_pb2.EmbedResponse(
            audio_embeddings=to_tensor(embeddings), stage_durations=[duration("encode", started)]
        )

    def _hearing(self, items: Sequence[Pcm]) -> AbstractContextManager[None]:
        """Note the audio of a call, in its span and in the metrics."""
        audio_seconds = _num_seconds(items)
        current_span().set(audio_seconds=audio_seconds)
        return self._metrics.hearing(audio_seconds)

    async def _check_fused(self) -> None:
        """Once there, it is expected to stay: its absence is then a fault, no longer a wrong call."""
        self._has_fused = self._has_fused or await self._models.ready(AUDIO_FRONTEND.name)
        if not self._has_fused:
            message = (
                f"Embed needs the model {AUDIO_FRONTEND.name}, which this Triton does not hold; use "
                "EncoderService.Encode and AdapterService.Adapt (EUREKA_GATEWAY__EMBEDDING_PATH=two_stage)"
            )
            raise WrongStateError(message, reason="EMBED_NOT_SERVED")


def items_of(tensors: Sequence[tensor_pb2.Tensor], max_audio_seconds: float) -> list[Pcm]:
    """The items of a request as float32.

    Raises:
        InvalidAudioError: reason EMPTY_AUDIO; no item, or one without samples.
        InvalidInputError: reason INVALID_TENSOR; not one-dimensional, neither int16 nor float32, not finite.
        AudioTooLongError: longer than the limit in all.
    """
    if not tensors:
        raise InvalidAudioError("the request holds no item of pcm; at least one", reason="EMPTY_AUDIO")
    arrays = [_checked(from_tensor(tensor), i) for i, tensor in enumerate(tensors)]
    seconds = _num_seconds(arrays)
    if seconds > max_audio_seconds:
        raise AudioTooLongError(f"{seconds:.2f} s of audio in one call, at most {max_audio_seconds:g} s")
    return [_to_float(array, i) for i, array in enumerate(arrays)]


def duration(stage: str, started: float) -> call_pb2.StageDuration:
    """Wall time since `started`, on the performance counter."""
    message = call_pb2.StageDuration(stage=stage)
    message.duration.FromNanoseconds(int((perf_counter() - started) * 1e9))
    return message


def _num_seconds(items: Sequence[NDArray[Any]]) -> float:
    return sum(item.size for item in items) / SAMPLE_RATE_HZ


def _checked(array: NDArray[Any], index: int) -> NDArray[Any]:
    if array.ndim != 1 or array.dtype.name not in ("int16", "float32"):
        message = f"pcm item {index} is {array.dtype.name} {array.shape}; wanted int16 or float32 (S,)"
        raise InvalidInputError(message, reason="INVALID_TENSOR")
    if array.size == 0:
        raise InvalidAudioError(f"pcm item {index} holds no sample", reason="EMPTY_AUDIO")
    return array


def _to_float(array: NDArray[Any], index: int) -> Pcm:
    if array.dtype == np.int16:
        return array.astype(np.float32) / np.float32(INT16_FULL_SCALE)
    if not np.isfinite(array).all():
        message = f"pcm item {index} holds samples that are not finite"
        raise InvalidInputError(message, reason="INVALID_TENSOR")
    return array
