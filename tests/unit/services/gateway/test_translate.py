"""Results to messages of the public API."""

from __future__ import annotations

import pytest

from eureka.api.v1 import content_pb2 as content
from eureka.types import (
    CoverageRow,
    Ending,
    HearingResult,
    ModelCard,
    Segment,
    SegmentSource,
    Span,
    Task,
    Usage,
)
from services.gateway.translate import (
    coverage_messages,
    finish_reason,
    model_message,
    score_messages,
    track_message,
    usage_message,
)


@pytest.mark.parametrize("sample", [0, 1, 12_345, 4_800_000, 2**31 + 1])
def test_offsets_are_exact_to_the_sample(sample: int) -> None:
    row = CoverageRow(2, Span(0, sample), Span(0, sample), Ending.STOP)

    (message,) = coverage_messages([row])

    assert message.end_offset.ToNanoseconds() * 16_000 == sample * 10**9
    assert message.window == 2


@pytest.mark.parametrize("ending", list(Ending))
def test_every_ending_has_its_finish_reason(ending: Ending) -> None:
    assert content.FinishReason.Name(finish_reason(ending)) == f"FINISH_REASON_{ending}"


def test_track_holds_text_segments_and_ledger() -> None:
    span = Span(0, 16_000)
    segments = tuple(Segment(0.4, 1.0, "rain", source) for source in SegmentSource)
    row = CoverageRow(0, span, span, Ending.STOP)
    result = HearingResult("", Task.CAPTION, "rain", segments, (row,), 1.0, "m", Usage())

    track = track_message(1, result)

    assert (track.channel, track.text, len(track.coverage)) == (1, "rain", 1)
    assert [segment.start_offset.ToMilliseconds() for segment in track.segments] == [400] * 3
    names = [content.SegmentSource.Name(segment.source) for segment in track.segments]
    assert names == [f"SEGMENT_SOURCE_{source.name}" for source in SegmentSource]


def test_usage_has_stages_and_audio() -> None:
    usage = usage_message(Usage(5, 2, {"decode": 0.25, "embed": 1.5}), 24_000)

    assert (usage.prompt_token_count, usage.generated_token_count) == (5, 2)
    assert usage.audio_duration.ToMilliseconds() == 1_500
    assert {each.stage: each.duration.ToMilliseconds() for each in usage.stage_durations} == {
        "decode": 250,
        "embed": 1_500,
    }


def test_scores_keep_the_order_given() -> None:
    messages = score_messages(["b", "a"], {"a": 0.25, "b": 0.75}, {"a": -2.0, "b": -1.0})

    assert [(each.label, each.probability, each.log_probability) for each in messages] == [
        ("b", 0.75, -1.0),
        ("a", 0.25, -2.0),
    ]


def test_model_without_time_marks_has_no_step() -> None:
    card = ModelCard("m", {"en": "English"}, 4096, 30.0, None, 1.0)

    model = model_message(card)

    assert not model.HasField("time_step_duration")
    assert (model.name, model.languages[0].code, model.best_window_duration.seconds) == ("m", "en", 30)
