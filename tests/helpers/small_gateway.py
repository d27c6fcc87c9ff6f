"""A real gRPC server of the public API over a Listener in this process, for tests of clients.

It answers truthfully, one call at a time; faults that a test lays down come first, one a call.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration

from eureka.api.v1 import (
    audio_service_pb2,
    audio_service_pb2_grpc,
    content_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
)
from eureka.audio.decode_pool import DecodePool
from eureka.cli.local import open_local
from eureka.clients.sampling_wire import sampling_of
from eureka.clients.status import code_of_status, details_metadata, status_of
from eureka.errors import AudioTooLongError, EurekaError, InvalidInputError, NotFoundError
from eureka.model.config import EurekaConfig
from eureka.pipeline.conversation import AudioItem, SpokenTurn
from eureka.pipeline.listener import Listener
from eureka.pipeline.options import ListenOptions
from eureka.runtime.settings import load_settings
from eureka.types import (
    SAMPLE_RATE_HZ,
    CoverageRow,
    Ending,
    HearingResult,
    Logprobs,
    Pcm,
    Segment,
    TextDelta,
    TextPart,
    Usage,
)

api = audio_service_pb2

_ROLES = {content_pb2.ROLE_SYSTEM: "system", content_pb2.ROLE_USER: "user"}
_ROLES |= {content_pb2.ROLE_ASSISTANT: "assistant"}


@dataclass(slots=True)
class SmallGateway:
    """The state of the server, and what tests may look at and lay down.

    Attributes:
        config: of the checkpoint.
        listener: answers.
        pool: decodes.
        max_inline_bytes, max_window_seconds: its limits.
        faults: raised by the next calls that hear or upload, one each.
        faults_after_delta: raised by the next Generate calls after their first delta.
        seen: (method, metadata) of every call.
        uploads: what was uploaded.
        holds_after_delta: Generate stops after its first delta until its caller leaves.
        num_cancelled: Generate calls that their caller left.
    """

    config: EurekaConfig
    listener: Listener
    pool: DecodePool
    max_inline_bytes: int = 1 << 20
    max_window_seconds: float = 300.0
    faults: list[EurekaError] = field(default_factory=list)
    faults_after_delta: list[EurekaError] = field(default_factory=list)
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    holds_after_delta: bool = False
    num_cancelled: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, method: str, context: grpc.ServicerContext) -> None:
        self.seen.append((method, dict(context.invocation_metadata())))
        if self.faults:
            raise self.faults.pop(0)

    def methods(self) -> list[str]:
        return [method for method, _ in self.seen]

    def pcm_of(self, audio: content_pb2.Audio) -> Pcm:
        """All blocks of one recording, mixed; the pool gives no single channels."""
        content = audio.content
        if audio.WhichOneof("source") == "upload":
            content = self._uploaded(audio.upload)
        elif len(content) > self.max_inline_bytes:
            raise InvalidInputError(f"{len(content)} bytes inline", reason="AUDIO_NOT_INLINE")
        with self.pool.open(content) as reader:
            blocks = list(reader)
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)

    def _uploaded(self, name: str) -> bytes:
        if name not in self.uploads:
            raise NotFoundError(f"there is no {name}", reason="UPLOAD_NOT_FOUND")
        return self.uploads[name]

    def windowed(self, audio: content_pb2.Audio) -> Pcm:
        pcm = self.pcm_of(audio)
        if len(pcm) > self.max_window_seconds * SAMPLE_RATE_HZ:
            raise AudioTooLongError(f"at most {self.max_window_seconds:g} s of audio")
        return pcm


class AudioServicer(audio_service_pb2_grpc.AudioServiceServicer):
    """AudioService over the listener."""

    def __init__(self, gateway: SmallGateway) -> None:
        self._gateway = gateway

    def Transcribe(self, request: Any, context: Any) -> Any:
        with _served(self._gateway, "Transcribe", context):
            options = replace(_windowed_options(request), language=request.language or None)
            blocks = [self._gateway.windowed(request.audio)]
            result = self._gateway.listener.transcribe("", blocks, options)
            return api.TranscribeResponse(
                model=result.model, tracks=_tracks(request, result), usage=_usage(result)
            )

    def Caption(self, request: Any, context: Any) -> Any:
        with _served(self._gateway, "Caption", context):
            blocks = [self._gateway.windowed(request.audio)]
            result = self._gateway.listener.caption("", blocks, _windowed_options(request))
            return api.CaptionResponse(
                model=result.model, tracks=_tracks(request, result), usage=_usage(result)
            )

    def Ask(self, request: Any, context: Any) -> Any:
        with _served(self._gateway, "Ask", context):
            deltas: list[TextDelta] = []
            result = self._converse(request, deltas)
            return api.AskResponse(
                model=result.model,
                text=result.text,
                finish_reason=_reason(deltas[-1].ending),
                coverage=_rows(result.coverage),
                usage=_usage(result),
                logprobs=_logprobs([entry for delta in deltas for entry in delta.logprobs]),
            )

    def Classify(self, request: Any, context: Any) -> Any:
        with _served(self._gateway, "Classify", context):
            below = request.abstain_below if request.HasField("abstain_below") else None
            blocks = [self._gateway.pcm_of(request.audio)]
            result = self._gateway.listener.classify("", blocks, list(request.labels), below)
            scores, logs = result.scores or {}, result.log_probabilities or {}
            return api.ClassifyResponse(
                model=result.model,
                label=result.label or "",
                scores=[
                    api.LabelScore(label=k, probability=v, log_probability=logs[k]) for k, v in scores.items()
                ],
                coverage=_rows(result.coverage),
                usage=_usage(result),
            )

    def Generate(self, request: Any, context: Any) -> Iterator[Any]:
        with _served(self._gateway, "Generate", context):
            deltas: list[TextDelta] = []
            result = self._converse(request, deltas)
            num_left = len(deltas)

            def count() -> None:  # a call that is cancelled between two deltas is not asked for the next
                self._gateway.num_cancelled += num_left > 0

            context.add_callback(count)
            for index, delta in enumerate(deltas):
                if index == 1 and self._gateway.faults_after_delta:
                    raise self._gateway.faults_after_delta.pop(0)
                while index == 1 and self._gateway.holds_after_delta and context.is_active():
                    time.sleep(0.01)
                if not context.is_active():
                    return
                num_left -= 1
                yield api.GenerateResponse(
                    text=delta.text,
                    token_count=len(delta.token_ids),
                    logprobs=_logprobs(delta.logprobs),
                    end=_end(result, delta.ending) if delta.ending is not None else None,
                )

    def Upload(self, requests: Iterator[Any], context: Any) -> Any:
        with _served(self._gateway, "Upload", context):
            first = next(requests)
            assert first.WhichOneof("payload") == "config"
            content = b"".join(request.data for request in requests)
            name = f"uploads/{uuid.uuid4().hex}"
            self._gateway.uploads[name] = content
            response = api.UploadResponse(upload=name, size_bytes=len(content))
            response.expire_time.FromSeconds(4_000_000_000)
            return response

    def _converse(self, request: Any, deltas: list[TextDelta]) -> HearingResult:
        turns = [SpokenTurn(_role(turn), self._parts(turn)) for turn in request.conversation]
        options = ListenOptions(sampling=sampling_of(request.sampling))
        return self._gateway.listener.converse("", turns, options, deltas.append)

    def _parts(self, turn: Any) -> tuple[TextPart | AudioItem, ...]:
        return tuple(
            TextPart(part.text)
            if part.WhichOneof("content") == "text"
            else AudioItem([self._gateway.pcm_of(part.audio)])
            for part in turn.parts
        )


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """ModelService with the one checkpoint."""

    def __init__(self, gateway: SmallGateway) -> None:
        self._gateway = gateway

    def List(self, request: Any, context: Any) -> Any:
        gateway, config = self._gateway, self._gateway.config
        gateway.seen.append(("List", dict(context.invocation_metadata())))
        step = config.time_step_seconds
        model = model_service_pb2.Model(
            name=config.name,
            tasks=[1, 2, 3, 4],
            languages=[
                model_service_pb2.Language(code=code, display_name=name)
                for code, name in config.languages.items()
            ],
            context_token_count=2_048,
            best_window_duration=_duration(config.best_window_seconds),
            time_step_duration=None if step is None else _duration(step),
            repetition_penalty=config.repetition_penalty,
        )
        limits = model_service_pb2.Limits(
            max_prompt_audio_duration=_duration(120),
            max_window_audio_duration=_duration(gateway.max_window_seconds),
            max_inline_bytes=gateway.max_inline_bytes,
            max_upload_bytes=64 << 20,
            upload_ttl_duration=_duration(3_600),
            max_message_bytes=64 << 20,
        )
        return model_service_pb2.ListResponse(models=[model], limits=limits)


@contextmanager
def small_gateway(checkpoint: Path) -> Iterator[SmallGateway]:
    """A gateway over the checkpoint, with a decode pool of its own."""
    with open_local(load_settings(), checkpoint) as local:
        yield SmallGateway(local.config, local.listener, local.pool)


@contextmanager
def serving(
    gateway: SmallGateway, key_and_certificate: tuple[Path, Path] | None = None
) -> Iterator[dict[str, str]]:
    """The server while the block runs: `plain`, and `tls` where files are given, as localhost:PORT."""
    server = grpc.server(ThreadPoolExecutor(4))
    audio_service_pb2_grpc.add_AudioServiceServicer_to_server(AudioServicer(gateway), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(gateway), server)
    targets = {"plain": f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"}
    if key_and_certificate is not None:
        key, certificate = (path.read_bytes() for path in key_and_certificate)
        port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key, certificate)]))
        targets["tls"] = f"localhost:{port}"
    server.start()
    try:
        yield targets
    finally:
        server.stop(None).wait()


@contextmanager
def _served(gateway: SmallGateway, method: str, context: Any) -> Iterator[None]:
    """One call at a time; what goes wrong becomes a status with its details."""
    try:
        gateway.begin(method, context)
        with gateway.lock:
            yield
    except EurekaError as error:
        status = status_of(error)
        context.set_trailing_metadata((details_metadata(status),))
        context.abort(code_of_status(status), status.message)


def _windowed_options(request: Any) -> ListenOptions:
    seconds = request.max_window_duration.ToNanoseconds() / 1e9
    return ListenOptions(sampling=sampling_of(request.sampling), max_window_seconds=seconds or None)


def _role(turn: Any) -> str:
    if turn.role not in _ROLES:
        raise InvalidInputError("a turn without a role", reason="UNKNOWN_ROLE")
    return _ROLES[turn.role]


def _tracks(request: Any, result: HearingResult) -> list[Any]:
    num_tracks = 2 if request.audio.channel.mode == content_pb2.CHANNEL_MODE_EACH else 1
    return [
        api.Track(
            channel=channel,
            text=result.text,
            segments=[_segment(segment) for segment in result.segments],
            coverage=_rows(result.coverage),
        )
        for channel in range(num_tracks)
    ]


def _segment(segment: Segment) -> Any:
    return content_pb2.Segment(
        start_offset=_duration(segment.start_seconds),
        end_offset=_duration(segment.end_seconds),
        text=segment.text,
        source=content_pb2.SegmentSource.Value(f"SEGMENT_SOURCE_{segment.source.name}"),
    )


def _rows(coverage: Sequence[CoverageRow]) -> list[Any]:
    return [
        content_pb2.CoverageRow(
            start_offset=_duration(row.owned.start_seconds),
            end_offset=_duration(row.owned.end_seconds),
            heard_start_offset=_duration(row.heard.start_seconds),
            heard_end_offset=_duration(row.heard.end_seconds),
            window=row.window,
            finish_reason=_reason(row.ending),
        )
        for row in coverage
    ]


def _end(result: HearingResult, ending: Ending) -> Any:
    return api.GenerateEnd(
        model=result.model,
        finish_reason=_reason(ending),
        coverage=_rows(result.coverage),
        usage=_usage(result),
    )


def _usage(result: HearingResult) -> Any:
    usage: Usage = result.usage
    return content_pb2.Usage(
        prompt_token_count=usage.prompt_tokens,
        generated_token_count=usage.generated_tokens,
        audio_duration=_duration(result.audio_seconds),
        stage_durations=[
            content_pb2.StageDuration(stage=stage, duration=_duration(seconds))
            for stage, seconds in usage.seconds.items()
        ],
    )


def _logprobs(entries: Sequence[Logprobs]) -> list[Any]:
    return [
        content_pb2.Logprobs(
            token=content_pb2.TokenLogprob(text=entry.token.text, logprob=entry.token.logprob),
            top=[content_pb2.TokenLogprob(text=each.text, logprob=each.logprob) for each in entry.top],
        )
        for entry in entries
    ]


def _reason(ending: Ending | None) -> Any:
    return content_pb2.FinishReason.Value(f"FINISH_REASON_{(ending or Ending.ERROR).name}")


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
