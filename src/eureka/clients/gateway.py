"""GatewayClient: what is said, what is heard, questions and labels, from any Python program.

    with GatewayClient("127.0.0.1:50050") as client:
        print(client.transcribe("clip.wav").text)

Needs only the base install. Errors are those of `eureka.errors`. A client may be shared by threads; it must
not exist before a fork. `eureka.clients.gateway_async` has the same for asyncio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from types import TracebackType
from typing import Self, TypeVar

import grpc

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
from eureka.clients.gateway_job_types import (
    Job,
    JobFilter,
    JobOptions,
    JobState,
    StoredObject,
    StoredObjects,
    StoredPrefix,
)
from eureka.clients.gateway_jobs import JobCalls
from eureka.clients.gateway_streams import DeltaStream
from eureka.clients.gateway_types import (
    Answer,
    AudioSource,
    ChatTurn,
    Limits,
    Question,
    Recording,
    RetryPolicy,
    ServedModels,
    Upload,
)
from eureka.types import Constraint, HearingResult, Priority, SamplingParams, Task

__all__ = [
    "AudioSource",
    "ChannelTls",
    "ChatTurn",
    "Constraint",
    "DeltaStream",
    "GatewayClient",
    "Job",
    "JobFilter",
    "JobOptions",
    "JobState",
    "Priority",
    "Recording",
    "RetryPolicy",
    "SamplingParams",
    "StoredObject",
    "StoredObjects",
    "StoredPrefix",
    "Upload",
]

Response = TypeVar("Response")


class GatewayClient(JobCalls):
    """Calls a gateway; a context manager. Methods about jobs are in `eureka.clients.gateway_jobs`.

    Args:
        target: host:port, several addresses with commas, or a gRPC target such as dns:///name:port.
        key: API key, where the gateway asks for one.
        tls: PEM files of a secure channel, `ChannelTls()` for the roots that gRPC brings; None is plain text.
        timeout_seconds: of calls that name none, uploads and retries included; None waits without end.
        retry: when a call is tried again.
        priority: of all calls.
        traceparent: gives the W3C trace context of the caller, asked at each call.
        uses_proxy: go through the proxy of the environment.

    Raises:
        InvalidInputError: reason INVALID_TARGET or UNREADABLE_CERTIFICATE.
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; calls that still run end as cancelled."""
        self._channel.close()

    def transcribe(
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
        """What is said in one recording.

        Args:
            audio: a path, bytes, an open file or an upload; what is too large for a message is uploaded.
            model: a checkpoint of `models()`; empty takes the default one.
            language: code or English name, a hint.
            channel: channel from 0; None hears the mean of all.
            sampling: how tokens are chosen; None leaves it to the gateway.
            max_window_seconds: windows of at most this length, 1 to 30; None: as the checkpoint likes it.
            timeout_seconds: for the whole call; None takes that of the client.
            request_id: for the logs of caller and gateway; empty draws one.

        Raises:
            EurekaError: of the gateway, or for a file that cannot be read.
        """
        attempts = self._config.attempts(timeout_seconds, request_id)
        heard = self._pack_one(audio, messages.channel_message(channel), attempts)
        priority = self._config.priority
        request = messages.transcribe_request(heard, model, language, sampling, priority, max_window_seconds)
        response = self._call(self._audio.Transcribe, request, attempts)
        return results.track_results(response, Task.TRANSCRIBE, calls.name_of(audio))[0]

    def transcribe_channels(
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
        """As `transcribe`, each channel on its own: one result a channel, `usage` that of the whole call."""
        attempts = self._config.attempts(timeout_seconds, request_id)
        heard = self._pack_one(audio, messages.each_channel(), attempts)
        priority = self._config.priority
        request = messages.transcribe_request(heard, model, language, sampling, priority, max_window_seconds)
        response = self._call(self._audio.Transcribe, request, attempts)
        return results.track_results(response, Task.TRANSCRIBE, calls.name_of(audio))

    def caption(
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
        """What is heard in one recording; arguments and errors as of `transcribe`."""
        attempts = self._config.attempts(timeout_seconds, request_id)
        heard = self._pack_one(audio, messages.channel_message(channel), attempts)
        request = messages.caption_request(heard, model, sampling, self._config.priority, max_window_seconds)
        response = self._call(self._audio.Caption, request, attempts)
        return results.track_results(response, Task.CAPTION, calls.name_of(audio))[0]

    def ask(
        self,
        question: Question,
        *audio: AudioSource,
        model: str = "",
        channel: int | None = None,
        sampling: SamplingParams | None = None,
        timeout_seconds: float | None = None,
        request_id: str = "",
    ) -> Answer:
        """The answer to a question about recordings, or the next one in a conversation.

        Args:
            question: text, asked after all of `audio`; or turns, which hold their audio as `Recording`.
            audio: recordings in the order in which they are heard.
            model, channel, sampling, timeout_seconds, request_id: as of `transcribe`.
        """
        attempts = self._config.attempts(timeout_seconds, request_id)
        turns = self._pack(question, audio, channel, attempts)
        request = messages.ask_request(turns, model, sampling, self._config.priority)
        response = self._call(self._audio.Ask, request, attempts)
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
    ) -> DeltaStream:
        """As `ask`, in deltas as they are generated; closing the stream cancels the call.

        The last delta, and only that, has `end`. The call is tried again only before the first delta.
        """
        attempts = self._config.attempts(timeout_seconds, request_id)
        turns = self._pack(question, audio, channel, attempts)
        request = messages.generate_request(turns, model, sampling, self._config.priority)
        return DeltaStream(lambda: self._audio.Generate(request, **attempts.arguments), attempts)

    def classify(
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
        """Which label fits one recording best: `label`, and `scores` with the probability of each.

        Args:
            audio: as of `transcribe`.
            labels: 1 to 256 that differ; underscores are read as spaces.
            abstain_below: `label` is None where the model holds the best one for less probable than this.
            model, channel, timeout_seconds, request_id: as of `transcribe`.
        """
        attempts = self._config.attempts(timeout_seconds, request_id)
        heard = self._pack_one(audio, messages.channel_message(channel), attempts)
        request = messages.classify_request(heard, labels, model, self._config.priority, abstain_below)
        response = self._call(self._audio.Classify, request, attempts)
        return results.classification_of(response, calls.name_of(audio))

    def upload(
        self, source: AudioSource, *, timeout_seconds: float | None = None, request_id: str = ""
    ) -> Upload:
        """Keep a recording at the gateway, for as many calls as it lives."""
        attempts = self._config.attempts(timeout_seconds, request_id)
        limits = self._known_limits(attempts)
        return self._upload(calls.open_file(source), source, limits, attempts)

    def models(self, *, timeout_seconds: float | None = None, request_id: str = "") -> ServedModels:
        """What the gateway serves, the default checkpoint first, and its limits."""
        return self._list(self._config.attempts(timeout_seconds, request_id))

    def _list(self, attempts: Attempts) -> ServedModels:
        response = self._call(self._models.List, model_service_pb2.ListRequest(), attempts)
        served = results.served_models(response)
        self._limits = served.limits
        return served

    def _known_limits(self, attempts: Attempts) -> Limits:
        return self._limits or self._list(attempts).limits

    def _pack(
        self, question: Question, audio: Sequence[AudioSource], channel: int | None, attempts: Attempts
    ) -> list[content_pb2.Turn]:
        """Messages of a conversation, its audio read or uploaded."""
        turns = messages.turns_of(question, [Recording(source, channel) for source in audio])
        room: InlineRoom | None = None
        packed = []
        for recording in messages.recordings_in(turns):
            room = room or InlineRoom(self._known_limits(attempts))
            chosen = messages.channel_message(recording.channel)
            packed.append(self._pack_into(room, recording.audio, chosen, attempts))
        return messages.conversation(turns, packed)

    def _pack_one(
        self, source: AudioSource, channel: content_pb2.Channel | None, attempts: Attempts
    ) -> content_pb2.Audio:
        if isinstance(source, Upload):
            return messages.uploaded_audio(source.name, channel)
        return self._pack_into(InlineRoom(self._known_limits(attempts)), source, channel, attempts)

    def _pack_into(
        self, room: InlineRoom, source: AudioSource, channel: content_pb2.Channel | None, attempts: Attempts
    ) -> content_pb2.Audio:
        """The message of one recording: inside the request where it fits, else uploaded."""
        if isinstance(source, Upload):
            return messages.uploaded_audio(source.name, channel)
        opened = calls.open_file(source)
        if room.take(opened.num_bytes):
            return messages.inline_audio(calls.content_of(opened), channel)
        return messages.uploaded_audio(self._upload(opened, source, room.limits, attempts).name, channel)

    def _upload(
        self, opened: OpenedSource, source: AudioSource, limits: Limits, attempts: Attempts
    ) -> Upload:
        reader = calls.UploadReader(opened.reader, calls.display_name(source))
        with closing(opened):
            calls.check_size(opened.num_bytes, limits)
            while True:
                sent = reader.messages()
                try:
                    return results.upload_of(self._audio.Upload(sent, **attempts.arguments))
                except grpc.RpcError as failure:
                    time.sleep(attempts.pause_after(failure))

    def _call(self, method: Callable[..., Response], request: object, attempts: Attempts) -> Response:
        while True:
            try:
                return method(request, **attempts.arguments)
            except grpc.RpcError as failure:
                time.sleep(attempts.pause_after(failure))


def _open_channel(config: ClientConfig) -> grpc.Channel:
    target = target_of(config.target)
    if config.tls is None:
        return grpc.insecure_channel(target, options=config.options)
    return grpc.secure_channel(target, calls.credentials(config.tls), options=config.options)
