import json
from dataclasses import replace

import pytest

from eureka.errors import InvalidAudioError
from eureka.pipeline.export import ExportFormat, FileFailure, json_line, render
from eureka.types import CoverageRow, Ending, HearingResult, Segment, SegmentSource, Span, Task, Usage

SEGMENTS = (
    Segment(3661.0, 3662.5, "second line", SegmentSource.WINDOW),
    Segment(0.0, 1.2345, "a <b> & c --> d\n\ne", SegmentSource.MODEL),
)
RESULT = HearingResult(
    path="a.wav",
    task=Task.TRANSCRIBE,
    text="caf\u00e9",
    segments=SEGMENTS,
    coverage=(CoverageRow(0, Span(0, 16_000), Span(0, 17_600), Ending.STOP),),
    audio_seconds=1.0,
    model="nano",
    usage=Usage(10, 3, {"embed": 0.01}),
)
FAILURE = FileFailure.of("b.wav", InvalidAudioError("no audio stream"))


def test_render_json_one_outcome_is_its_object() -> None:
    plain = json.loads(render([RESULT], ExportFormat.JSON))
    assert plain["path"] == "a.wav"
    assert plain["coverage"] == [
        {"start": 0.0, "end": 1.0, "heard_start": 0.0, "heard_end": 1.1, "window": 0, "ending": "STOP"}
    ]
    assert "label" not in plain and "error" not in plain


def test_render_json_gives_the_length_to_the_sample() -> None:
    plain = json.loads(render([replace(RESULT, audio_seconds=12_345 / 16_000)], ExportFormat.JSON))
    assert plain["audio_seconds"] == 12_345 / 16_000


def test_render_json_several_outcomes_keep_their_order() -> None:
    results = json.loads(render([RESULT, FAILURE], ExportFormat.JSON))["results"]
    assert results[0]["text"] == "caf\u00e9"
    assert results[1] == {
        "path": "b.wav",
        "error": {"code": "INVALID_ARGUMENT", "reason": "INVALID_AUDIO", "message": "no audio stream"},
    }


def test_render_jsonl_is_one_object_a_line() -> None:
    lines = render([RESULT, FAILURE], ExportFormat.JSONL).splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["a.wav", "b.wav"]
    assert json_line(FAILURE) == lines[1] + "\n"


def test_render_srt_is_in_time_and_each_cue_stays_one_block() -> None:
    assert render([RESULT, FAILURE], ExportFormat.SRT) == (
        "1\n00:00:00,000 --> 00:00:01,234\na <b> & c -> d e\n\n"
        "2\n01:01:01,000 --> 01:01:02,500\nsecond line\n"
    )


def test_render_vtt_escapes_markup() -> None:
    assert render([RESULT], ExportFormat.VTT) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.234\na &lt;b&gt; &amp; c --&gt; d e\n\n"
        "01:01:01.000 --> 01:01:02.500\nsecond line\n"
    )


@pytest.mark.parametrize(("form", "empty"), [(ExportFormat.SRT, ""), (ExportFormat.VTT, "WEBVTT\n")])
def test_render_subtitles_of_nothing(form: ExportFormat, empty: str) -> None:
    assert render([replace(RESULT, segments=())], form) == empty


def test_render_captions_stand_in_brackets() -> None:
    caption = replace(RESULT, task=Task.CAPTION, segments=SEGMENTS[:1])
    assert "[second line]" in render([caption], ExportFormat.SRT)
    assert "[second line]" in render([caption], ExportFormat.VTT)


def test_render_text_names_files_when_there_are_several() -> None:
    assert render([RESULT], ExportFormat.TEXT) == "caf\u00e9\n"
    assert render([RESULT, RESULT], ExportFormat.TEXT) == "a.wav: caf\u00e9\na.wav: caf\u00e9\n"


def test_render_text_of_a_classification_is_its_label() -> None:
    classified = replace(RESULT, task=Task.CLASSIFY, text="dog", label="dog", scores={"dog": 1.0})
    assert render([classified], ExportFormat.TEXT) == "dog\n"
    assert render([replace(classified, label=None)], ExportFormat.TEXT) == "(no label)\n"
