"""Results to messages of eureka.api.v1; offsets are exact to the sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from google.protobuf.duration_pb2 import Duration

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import content_pb2, model_service_pb2
from eureka.clients.decoder_wire import duration_of
from eureka.types import (
    SAMPLE_RATE_HZ,
    CoverageRow,
    Ending,
    HearingResult,
    Logprobs,
    ModelCard,
    Segment,
    SegmentSource,
    TokenLogprob,
    Usage,
)

NANOSECONDS_PER_SAMPLE = 1_000_000_000 // SAMPLE_RATE_HZ
"""62,500, without a rest."""

_FINISH_REASONS: dict[Ending, content_pb2.FinishReason] = {
    Ending.STOP: content_pb2.FINISH_REASON_STOP,
    Ending.LENGTH: content_pb2.FINISH_REASON_LENGTH,
    Ending.REPETITION: content_pb2.FINISH_REASON_REPETITION,
    Ending.CANCELLED: content_pb2.FINISH_REASON_CANCELLED,
    Ending.DEADLINE: content_pb2.FINISH_REASON_DEADLINE,
    Ending.ERROR: content_pb2.FINISH_REASON_ERROR,
    Ending.SILENCE: content_pb2.FINISH_REASON_SILENCE,
}

_SOURCES: dict[SegmentSource, content_pb2.SegmentSource] = {
    SegmentSource.MODEL: content_pb2.SEGMENT_SOURCE_MODEL,
    SegmentSource.CTC: content_pb2.SEGMENT_SOURCE_CTC,
    SegmentSource.WINDOW: content_pb2.SEGMENT_SOURCE_WINDOW,
}

_TASKS = (
    model_service_pb2.TASK_TRANSCRIBE,
    model_service_pb2.TASK_CAPTION,
    model_service_pb2.TASK_ASK,
    model_service_pb2.TASK_CLASSIFY,
)


def sample_offset(sample: int) -> Duration:
    """Place of a sample, relative to the start of the audio."""
    offset = Duration()
    offset.FromNanoseconds(sample * NANOSECONDS_PER_SAMPLE)
    return offset


def track_message(channel: int, result: HearingResult) -> api.Track:
    """What was said or heard in one channel."""
    return api.Track(
        channel=channel,
        text=result.text,
        segments=map(segment_message, result.segments),
        coverage=coverage_messages(result.coverage),
    )


def segment_message(segment: Segment) -> content_pb2.Segment:
    """Text with its place."""
    return content_pb2.Segment(
        start_offset=duration_of(segment.start_seconds),
        end_offset=duration_of(segment.end_seconds),
        text=segment.text,
        source=_SOURCES[segment.source],
    )


def coverage_messages(rows: Iterable[CoverageRow]) -> list[content_pb2.CoverageRow]:
    """The ledger."""
    return [
        content_pb2.CoverageRow(
            start_offset=sample_offset(row.owned.start_sample),
            end_offset=sample_offset(row.owned.end_sample),
            heard_start_offset=sample_offset(row.heard.start_sample),
            heard_end_offset=sample_offset(row.heard.end_sample),
            window=row.window,
            finish_reason=finish_reason(row.ending),
        )
        for row in rows
    ]


def finish_reason(ending: Ending) -> content_pb2.FinishReason:
    """An ending as the API names it."""
    return _FINISH_REASONS[ending]


def usage_message(usage: Usage, audio_samples: int) -> content_pb2.Usage:
    """What an answer cost."""
    return content_pb2.Usage(
        prompt_token_count=usage.prompt_tokens,
        generated_token_count=usage.generated_tokens,
        audio_duration=sample_offset(audio_samples),
        stage_durations=[
            content_pb2.StageDuration(stage=stage, duration=duration_of(seconds))
            for stage, seconds in usage.seconds.items()
        ],
    )


def logprobs_messages(entries: Iterable[Logprobs]) -> list[content_pb2.Logprobs]:
    """Log-probabilities of generated tokens."""
    return [
        content_pb2.Logprobs(
            token=_token_message(entry.token), top=[_token_message(token) for token in entry.top]
        )
        for entry in entries
    ]


def score_messages(
    labels: Sequence[str], probabilities: Mapping[str, float], log_probabilities: Mapping[str, float]
) -> list[api.LabelScore]:
    """Every label, in the order given."""
    return [
        api.LabelScore(
            label=label, probability=probabilities[label], log_probability=log_probabilities[label]
        )
        for label in labels
    ]


def model_message(card: ModelCard) -> model_service_pb2.Model:
    """A checkpoint as ModelService lists it."""
    step = card.time_step_seconds
    return model_service_pb2.Model(
        name=card.name,
        tasks=_TASKS,
        languages=[
            model_service_pb2.Language(code=code, display_name=name) for code, name in card.languages.items()
        ],
        context_token_count=card.context_tokens,
        best_window_duration=duration_of(card.best_window_seconds),
        time_step_duration=None if step is None else duration_of(step),
        repetition_penalty=card.repetition_penalty,
    )


def _token_message(token: TokenLogprob) -> content_pb2.TokenLogprob:
    return content_pb2.TokenLogprob(text=token.text, logprob=token.logprob)
