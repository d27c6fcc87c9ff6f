import csv
import io
import json

from eureka.jobs.exports import MEDIA_TYPES, ExportForm, export

RESULT = {
    "path": "a.wav",
    "model": "nano",
    "segments": [
        {"start": 0.0, "end": 1.5, "text": "hello --> world", "source": "window", "track": "transcript"},
        {"start": 0.5, "end": 2.0, "text": "dog, bark", "source": "model", "track": "caption"},
        {"start": 3_661.0, "end": 3_662.25, "text": "a < b", "source": "window", "track": "transcript"},
    ],
}


def test_subtitles_hold_both_tracks_with_captions_in_brackets() -> None:
    assert export(RESULT, ExportForm.SRT) == (
        "1\n00:00:00,000 --> 00:00:01,500\nhello -> world\n\n"
        "2\n00:00:00,500 --> 00:00:02,000\n[dog, bark]\n\n"
        "3\n01:01:01,000 --> 01:01:02,250\na < b\n"
    )
    assert export(RESULT, ExportForm.VTT).startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n")
    assert "a &lt; b" in export(RESULT, ExportForm.VTT)


def test_text_has_a_line_a_segment() -> None:
    assert export(RESULT, ExportForm.TXT) == "hello --> world\n[dog, bark]\na < b\n"


def test_table_is_read_back_as_it_was() -> None:
    rows = list(csv.DictReader(io.StringIO(export(RESULT, ExportForm.CSV))))
    assert [row["text"] for row in rows] == ["hello --> world", "dog, bark", "a < b"]
    assert rows[1] == {
        "start": "0.5",
        "end": "2.0",
        "track": "caption",
        "source": "model",
        "text": "dog, bark",
    }


def test_labels_for_audacity_are_tabbed() -> None:
    lines = export(RESULT, ExportForm.AUDACITY).splitlines()
    assert lines[1] == "0.500000\t2.000000\t[dog, bark]"


def test_label_studio_has_a_region_and_its_text_for_each_segment() -> None:
    (task,) = json.loads(export(RESULT, ExportForm.LABEL_STUDIO))
    assert task["data"] == {"audio": "a.wav"}
    (prediction,) = task["predictions"]
    regions = prediction["result"]
    assert len(regions) == 6 and prediction["model_version"] == "nano"
    assert regions[2]["value"] == {"start": 0.5, "end": 2.0, "channel": 0, "labels": ["caption"]}
    assert regions[3]["id"] == regions[2]["id"] and regions[3]["value"]["text"] == ["dog, bark"]


def test_every_form_has_a_media_type_and_takes_an_empty_result() -> None:
    empty = RESULT | {"segments": []}
    for form in ExportForm:
        assert "/" in MEDIA_TYPES[form]
        export(empty, form)
    assert json.loads(export(RESULT, ExportForm.JSON)) == RESULT
