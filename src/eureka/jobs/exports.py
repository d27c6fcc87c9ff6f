"""A job's result in other forms: subtitles, text, a table, labels for editors; captions in [brackets].

Works on the object of result.json, so that whoever has that needs neither the spec nor the windows.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from eureka.jobs.documents import to_pretty_bytes
from eureka.pipeline.export import srt, vtt
from eureka.types import HearingResult, Segment, SegmentSource, Task, Usage

CAPTION_TRACK = "caption"


class ExportForm(StrEnum):
    """Forms that a result can be downloaded in."""

    JSON = "json"
    SRT = "srt"
    VTT = "vtt"
    TXT = "txt"
    CSV = "csv"
    LABEL_STUDIO = "labelstudio"
    AUDACITY = "audacity"


MEDIA_TYPES = {
    ExportForm.JSON: "application/json",
    ExportForm.SRT: "application/x-subrip; charset=utf-8",
    ExportForm.VTT: "text/vtt; charset=utf-8",
    ExportForm.TXT: "text/plain; charset=utf-8",
    ExportForm.CSV: "text/csv; charset=utf-8",
    ExportForm.LABEL_STUDIO: "application/json",
    ExportForm.AUDACITY: "text/plain; charset=utf-8",
}

STORED_FORMS = (ExportForm.SRT, ExportForm.VTT, ExportForm.TXT, ExportForm.CSV)
"""What lies beside result.json; the others are made from it when they are asked for."""


def export(result: dict[str, Any], form: ExportForm) -> str:
    """The result in a form.

    Args:
        result: the object of result.json.
        form: see there.
    """
    if form is ExportForm.JSON:
        return to_pretty_bytes(result).decode()
    if form is ExportForm.SRT:
        return srt([_shown(result)])
    if form is ExportForm.VTT:
        return vtt([_shown(result)])
    if form is ExportForm.TXT:
        return "".join(f"{_one_line(segment)}\n" for segment in result["segments"])
    if form is ExportForm.CSV:
        return _table(result)
    if form is ExportForm.AUDACITY:
        return "".join(_audacity_lines(result))
    return _label_studio(result)


def _shown(result: dict[str, Any]) -> HearingResult:
    """All tracks as one, each text as subtitles show it."""
    segments = tuple(
        Segment(plain["start"], plain["end"], _bracketed(plain), SegmentSource(plain["source"]))
        for plain in result["segments"]
    )
    # Of transcripts the text is shown as it is.
    return HearingResult(result["path"], Task.TRANSCRIBE, "", segments, (), 0.0, "", Usage())


def _bracketed(segment: dict[str, Any]) -> str:
    return f"[{segment['text']}]" if segment["track"] == CAPTION_TRACK else str(segment["text"])


def _one_line(segment: dict[str, Any]) -> str:
    return " ".join(_bracketed(segment).split())


def _table(result: dict[str, Any]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["start", "end", "track", "source", "text"])
    for segment in result["segments"]:
        writer.writerow([segment[name] for name in ("start", "end", "track", "source", "text")])
    return file.getvalue()


def _audacity_lines(result: dict[str, Any]) -> Iterator[str]:
    for segment in result["segments"]:
        yield f"{segment['start']:.6f}\t{segment['end']:.6f}\t{_one_line(segment)}\n"


def _label_studio(result: dict[str, Any]) -> str:
    """One task for import, with our segments as its prediction: a region and its text for each."""
    regions = [
        region for number, segment in enumerate(result["segments"]) for region in _regions(number, segment)
    ]
    prediction = {"model_version": result["model"], "result": regions}
    task = {"data": {"audio": result["path"]}, "predictions": [prediction]}
    return json.dumps([task], ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _regions(number: int, segment: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = {"start": segment["start"], "end": segment["end"], "channel": 0}
    common = {"id": f"segment-{number}", "to_name": "audio"}
    yield {
        **common,
        "from_name": "labels",
        "type": "labels",
        "value": {**place, "labels": [segment["track"]]},
    }
    yield {
        **common,
        "from_name": "text",
        "type": "textarea",
        "value": {**place, "text": [segment["text"]]},
    }
