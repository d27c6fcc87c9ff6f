"""AsyncGatewayClient: as `eureka.clients.gateway.GatewayClient`, for asyncio.

    async with AsyncGatewayClient("127.0.0.1:50050") as client:
        result = await client.transcribe("clip.wav")

Files are read in threads, so that the event loop goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import (
    audio_service_pb2_grpc,
    content_pb2,
    job_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)
from eureka.audio.source import OpenedSource
from eureka.clients import gateway_calls as calls
from eureka.clients import gateway_messages as messages
from eureka.clients import gateway_results as results
from eureka.clients.channels import ChannelTls, target_of
from eureka.clients.gateway_calls import Attempts, ClientConfig, InlineRoom
from eureka.clients.gateway_jobs_async import AsyncJobCalls
from eureka.clients.gateway_streams import AsyncDeltaStream
from eureka.clients.gateway_types import (
    Answer,
    AudioSource,
    Limits,
    Question,
    Recording,
    RetryPolicy,
    ServedModels,
    Upload,
)
from eureka.types import HearingResult, Priority, SamplingParams, Task

Response = TypeVar("Response")


class AsyncGatewayClient(AsyncJobCalls):
    """As `GatewayClient`, for asyncio; an async context manager, of one event loop.

    Arguments, results and errors are those of `GatewayClient`.
    """

    def __init__(
        self,
        target: str,
        *,
        key: str | None = None,
        tls: ChannelTls | None = None,
        timeout_seconds: float | None = 300.0,
        retry: RetryPolicy | None = None,
        priority: Priority = Priority.INTERACTIVE,
        traceparent: Callable[[], str] = calls.no_trace,
        uses_proxy: bool = False,
    ) -> None:
        retry = retry or RetryPolicy()
        self._config = ClientConfig(
            target, key, tls, timeout_seconds, retry, priority, traceparent, uses_proxy
        )
        self._channel = _open_channel(self._config)
        self._audio = audio_service_pb2_grpc.AudioServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._jobs = job_service_pb2_grpc.JobServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._limits: Limits | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the channel; calls that still run end as cancelled."""
        await self._channel.close(None)

    async def transcribe(
        self,
        audio: AudioSource,
        *,
        model: str = "",
        language: str = "",
        channel: int | None = None,
        sampling: SamplingParams | None = None,
        max_window_seconds: float | None = None,
        timeout_seconds: float | None = None,
        request_id: str = "",
    ) -> HearingResult:
        """What is said in one recording."""
        attempts = self._config.attempts(timeout_seconds, request_id)
        heard = await self._pack_one(audio, messages.channel_message(channel), attempts)
        priority = self._config.priority
        request = messages.transcribe_request(heard, model, language, sampling, priority, max_window_seconds)
        response = await self._call(self._audio.Transcribe, request, attempts)
        return results.track_results(response, Task.TRANSCRIBE, calls.name_of(audio))[0]

    async def transcribe_channels(
        self,
        audio: AudioSource,
        *,
        model: str = "",
        language: str = "",
        sampling: SamplingParams | None = None,
        max_window_seconds: float | None = None,
        timeout_seconds: float | None = None,
        request_id: str = "",
    ) -> tuple[HearingResult, ...]:
        """As `transcribe`, each channel on its own."""
        attempts = self._config.attempts(timeout_seconds, request_id)
        heard = await self._pack_one(audio, messages.each_channel(), attempts)
        priority = self._config.priority
        request = messages.transcribe_request(heard, model, language, sampling, priority, max_window_seconds)
        response = await self._call(self._audio.Transcribe, request, attempts)
        return results.track_results(response, Task.TRANSCRIBE, calls.name_of(audio))

    async def caption(
        self,
        audio: AudioSource,
        *,
        model: str = "",
        channel: int | None = None,
        sampling: SamplingParams | None = None,
        max_window_seconds: float | None = None,
        timeout_seconds: float | None = None,
        request_id: str = "",
    ) -> HearingResult:
        """What is heard in one recording."""
        attempts = self._config.attempts(timeout_seconds, request_id)
        heard = await self._pack_one(audio, messages.channel_message(channel), attempts)
        request = messages.caption_request(heard, model, sampling, self._config.priority, max_window_seconds)
        response = await self._call(self._audio.Caption, request, attempts)
        return results.track_results(response, Task.CAPTION, calls.name_of(audio))[0]

    async def ask(
        self,
        question: Question,
        *audio: AudioSource,
        model: str = "",
        channel: int | None = None,
        sampling: SamplingParams | None = None,
        timeout_seconds: float | None = None,
        request_id: str = "",
    ) -> Answer:
        """The answer to a question about recordings, or the next one in a conversation."""
        attempts = self._config.attempts(timeout_seconds, request_id)
        turns = await self._pack(question, audio, channel, attempts)
        request = messages.ask_request(turns, model, sampling, self._config.priority)
        response = await self._call(self._audio.Ask, request, attempts)
        return results.answer_of(response, calls.name_of(audio[0]) if audio else "")

    def generate(
        self,
        question: Question,
        *audio: AudioSource,
        model: str = "",
        channel: int | None = None,
        sampling: SamplingParams | None = None,
        timeout_seconds: float | None = None,
        request_id: str = "",
    ) -> AsyncDeltaStream:
        """As `ask`, in deltas: `async for delta in client.generate(...)`; nothing is sent before."""
        attempts = self._config.attempts(timeout_seconds, request_id)

        async def prepare() -> Callable[[], Any]:
            turns = await self._pack(question, audio, channel, attempts)
            request = messages.generate_request(turns, model, sampling, self._config.priority)
            return lambda: self._audio.Generate(request, **attempts.arguments)

        return AsyncDeltaStream(prepare, attempts)

    async def classify(
        self,
        audio: AudioSource,
        labels: Sequence[str],
        *,
        abstain_below: float | None = None,
        model: str = "",
        channel: int | None = None,
        timeout_seconds: float | None = None,
        request_id: str = "",
    ) -> HearingResult:
        """Which label fits one recording best."""
        attempts = self._config.attempts(timeout_seconds, request_id)
        heard = await self._pack_one(audio, messages.channel_message(channel), attempts)
        request = messages.classify_request(heard, labels, model, self._config.priority, abstain_below)
        response = await self._call(self._audio.Classify, request, attempts)
        return results.classification_of(response, calls.name_of(audio))

    async def upload(
        self, source: AudioSource, *, timeout_seconds: float | None = None, request_id: str = ""
    ) -> Upload:
        """Keep a recording at the gateway, for as many calls as it lives."""
        attempts = self._config.attempts(timeout_seconds, request_id)
        limits = await self._known_limits(attempts)
        opened = await asyncio.to_thread(calls.open_file, source)
        return await self._upload(opened, source, limits, attempts)

    async def models(self, *, timeout_seconds: float | None = None, request_id: str = "") -> ServedModels:
        """What the gateway serves, the default checkpoint first, and its limits."""
        return await self._list(self._config.attempts(timeout_seconds, request_id))

    async def _list(self, attempts: Attempts) -> ServedModels:
        response = await self._call(self._models.List, model_service_pb2.ListRequest(), attempts)
        served = results.served_models(response)
        self._limits = served.limits
        return served

    async def _known_limits(self, attempts: Attempts) -> Limits:
        return self._limits or (await self._list(attempts)).limits

    async def _pack(
        self, question: Question, audio: Sequence[AudioSource], channel: int | None, attempts: Attempts
    ) -> list[content_pb2.Turn]:
        """Messages of a conversation, its audio read or uploaded."""
        turns = messages.turns_of(question, [Recording(source, channel) for source in audio])
        room: InlineRoom | None = None
        packed = []
        for recording in messages.recordings_in(turns):
            room = room or InlineRoom(await self._known_limits(attempts))
            chosen = messages.channel_message(recording.channel)
            packed.append(await self._pack_into(room, recording.audio, chosen, attempts))
        return messages.conversation(turns, packed)

    async def _pack_one(
        self, source: AudioSource, channel: content_pb2.Channel | None, attempts: Attempts
    ) -> content_pb2.Audio:
        if isinstance(source, Upload):
            return messages.uploaded_audio(source.name, channel)
        return await self._pack_into(
            InlineRoom(await self._known_limits(attempts)), source, channel, attempts
        )

    async def _pack_into(
        self, room: InlineRoom, source: AudioSource, channel: content_pb2.Channel | None, attempts: Attempts
    ) -> content_pb2.Audio:
        """The message of one recording: inside the request where it fits, else uploaded."""
        if isinstance(source, Upload):
            return messages.uploaded_audio(source.name, channel)
        opened = await asyncio.to_thread(calls.open_file, source)
        if room.take(opened.num_bytes):
            return messages.inline_audio(await asyncio.to_thread(calls.content_of, opened), channel)
        upload = await self._upload(opened, source, room.limits, attempts)
        return messages.uploaded_audio(upload.name, channel)

    async def _upload(
        self, opened: OpenedSource, source: AudioSource, limits: Limits, attempts: Attempts
    ) -> Upload:
        reader = calls.UploadReader(opened.reader, calls.display_name(source))
        with closing(opened):
            calls.check_size(opened.num_bytes, limits)
            while True:
                sent = _in_threads(reader.messages())
                try:
                    return results.upload_of(await self._audio.Upload(sent, **attempts.arguments))
                except grpc.RpcError as failure:
                    await asyncio.sleep(attempts.pause_after(failure))

    async def _call(
        self, method: Callable[..., Awaitable[Response]], request: object, attempts: Attempts
    ) -> Response:
        while True:
            try:
                return await method(request, **attempts.arguments)
            except grpc.RpcError as failure:
                await asyncio.sleep(attempts.pause_after(failure))


def _open_channel(config: ClientConfig) -> grpc.aio.Channel:
    target = target_of(config.target)
    if config.tls is None:
        return grpc.aio.insecure_channel(target, options=config.options)
    return grpc.aio.secure_channel(target, calls.credentials(config.tls), options=config.options)


async def _in_threads(requests: Iterator[api.UploadRequest]) -> AsyncIterator[api.UploadRequest]:
    """The messages, each read from its file beside the event loop."""
    while (request := await asyncio.to_thread(next, requests, None)) is not None:
        yield request
