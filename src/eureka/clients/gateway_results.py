"""Value types from responses of eureka.api.v1: pure functions for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any

from google.protobuf.duration_pb2 import Duration

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import content_pb2, model_service_pb2
from eureka.clients.gateway_messages import NANOSECONDS
from eureka.clients.gateway_types import (
    Answer,
    AnswerEnd,
    Delta,
    Limits,
    ServedModel,
    ServedModels,
    Upload,
)
from eureka.errors import EurekaError
from eureka.types import (
    SAMPLE_RATE_HZ,
    CoverageRow,
    Ending,
    HearingResult,
    Logprobs,
    Segment,
    SegmentSource,
    Span,
    Task,
    TokenLogprob,
    Usage,
)


def track_results(
    response: api.TranscribeResponse | api.CaptionResponse, task: Task, path: str
) -> tuple[HearingResult, ...]:
    """One result a track; `usage` of each is that of the whole call.

    Raises:
        EurekaError: reason NO_TRACK; the gateway gave none.
    """
    if not response.tracks:
        raise EurekaError("the gateway answered without a track", reason="NO_TRACK")
    usage = usage_of(response.usage)
    return tuple(_track_result(track, task, path, response.model, usage) for track in response.tracks)


def answer_of(response: api.AskResponse, path: str) -> Answer:
    """Result of an ask; its audio is one segment, as in local mode without time marks."""
    coverage = coverage_of(response.coverage)
    return Answer(
        path=path,
        task=Task.ASK,
        text=response.text,
        segments=_whole_segment(response.text, coverage),
        coverage=coverage,
        audio_seconds=_end_seconds(coverage),
        model=response.model,
        usage=usage_of(response.usage),
        ending=ending_of(response.finish_reason),
        logprobs=logprobs_of(response.logprobs),
    )


def classification_of(response: api.ClassifyResponse, path: str) -> HearingResult:
    """Result of a classification."""
    coverage = coverage_of(response.coverage)
    return HearingResult(
        path=path,
        task=Task.CLASSIFY,
        text=response.label,
        segments=_whole_segment(response.label, coverage),
        coverage=coverage,
        audio_seconds=_end_seconds(coverage),
        model=response.model,
        usage=usage_of(response.usage),
        label=response.label or None,
        scores={score.label: score.probability for score in response.scores},
        log_probabilities={score.label: score.log_probability for score in response.scores},
    )


def delta_of(response: api.GenerateResponse) -> Delta:
    """One message of a generated answer."""
    end = _end_of(response.end) if response.HasField("end") else None
    return Delta(response.text, response.token_count, logprobs_of(response.logprobs), end)


def upload_of(response: api.UploadResponse) -> Upload:
    """What the gateway keeps."""
    expire_time = response.expire_time.ToDatetime(tzinfo=UTC)
    return Upload(response.upload, response.size_bytes, expire_time)


def served_models(response: model_service_pb2.ListResponse) -> ServedModels:
    """What a gateway serves.

    Raises:
        EurekaError: reason NO_MODEL; it serves nothing.
    """
    if not response.models:
        raise EurekaError("the gateway serves no model", reason="NO_MODEL")
    return ServedModels(tuple(map(_served_model, response.models)), _limits(response.limits))


def usage_of(usage: content_pb2.Usage) -> Usage:
    """What a call cost."""
    seconds = {each.stage: seconds_of(each.duration) for each in usage.stage_durations}
    return Usage(usage.prompt_token_count, usage.generated_token_count, seconds)


def coverage_of(rows: Iterable[content_pb2.CoverageRow]) -> tuple[CoverageRow, ...]:
    """The ledger, exact to the sample: one at 16 kHz is 62,500 ns."""
    return tuple(
        CoverageRow(
            window=row.window,
            owned=_span(row.start_offset, row.end_offset),
            heard=_span(row.heard_start_offset, row.heard_end_offset),
            ending=ending_of(row.finish_reason),
        )
        for row in rows
    )


def ending_of(finish_reason: int) -> Ending:
    """An ending; one that this client does not know yet counts as ERROR, never as well."""
    name = name_in(content_pb2.FinishReason, finish_reason, "FINISH_REASON_")
    return Ending.__members__.get(name, Ending.ERROR)


def logprobs_of(entries: Iterable[content_pb2.Logprobs]) -> tuple[Logprobs, ...]:
    """Log-probabilities of generated tokens."""
    return tuple(
        Logprobs(_token_logprob(entry.token), tuple(map(_token_logprob, entry.top))) for entry in entries
    )


def _track_result(track: api.Track, task: Task, path: str, model: str, usage: Usage) -> HearingResult:
    coverage = coverage_of(track.coverage)
    return HearingResult(
        path=path,
        task=task,
        text=track.text,
        segments=tuple(map(segment_of, track.segments)),
        coverage=coverage,
        audio_seconds=_end_seconds(coverage),
        model=model,
        usage=usage,
    )


def segment_of(segment: content_pb2.Segment) -> Segment:
    """Text with its place."""
    name = name_in(content_pb2.SegmentSource, segment.source, "SEGMENT_SOURCE_")
    source = SegmentSource.__members__.get(name, SegmentSource.WINDOW)
    return Segment(seconds_of(segment.start_offset), seconds_of(segment.end_offset), segment.text, source)


def _whole_segment(text: str, coverage: Sequence[CoverageRow]) -> tuple[Segment, ...]:
    if not text or not coverage:
        return ()
    span = coverage[0].owned
    return (Segment(span.start_seconds, span.end_seconds, text, SegmentSource.WINDOW),)


def _end_of(end: api.GenerateEnd) -> AnswerEnd:
    coverage = coverage_of(end.coverage)
    return AnswerEnd(end.model, ending_of(end.finish_reason), coverage, usage_of(end.usage))


def _served_model(model: model_service_pb2.Model) -> ServedModel:
    has_step = model.HasField("time_step_duration")
    names = (name_in(model_service_pb2.Task, task, "TASK_") for task in model.tasks)
    return ServedModel(
        name=model.name,
        languages={language.code: language.display_name for language in model.languages},
        context_tokens=model.context_token_count,
        best_window_seconds=seconds_of(model.best_window_duration),
        time_step_seconds=seconds_of(model.time_step_duration) if has_step else None,
        repetition_penalty=model.repetition_penalty,
        tasks=tuple(Task[name] for name in names if name in Task.__members__),
    )


def _limits(limits: model_service_pb2.Limits) -> Limits:
    return Limits(
        max_prompt_audio_seconds=seconds_of(limits.max_prompt_audio_duration),
        max_window_audio_seconds=seconds_of(limits.max_window_audio_duration),
        max_inline_bytes=limits.max_inline_bytes,
        max_upload_bytes=limits.max_upload_bytes,
        upload_ttl_seconds=seconds_of(limits.upload_ttl_duration),
        max_message_bytes=limits.max_message_bytes,
    )


def _token_logprob(token: content_pb2.TokenLogprob) -> TokenLogprob:
    return TokenLogprob(token.text, token.logprob)


def _span(start: Duration, end: Duration) -> Span:
    return Span(_sample(start), _sample(end))


def _sample(offset: Duration) -> int:
    return round(offset.ToNanoseconds() * SAMPLE_RATE_HZ / NANOSECONDS)


def seconds_of(duration: Duration) -> float:
    """A duration in seconds."""
    return float(duration.ToNanoseconds()) / NANOSECONDS


def _end_seconds(coverage: Sequence[CoverageRow]) -> float:
    return coverage[-1].owned.end_seconds if coverage else 0.0


def name_in(enum: Any, number: int, prefix: str) -> str:
    """Name of a number without its prefix; empty for one that a newer gateway knows and we do not."""
    names = {known: name for name, known in enum.items()}
    return str(names.get(number, "")).removeprefix(prefix)
