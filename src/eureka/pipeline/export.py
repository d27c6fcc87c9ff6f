"""Results as text, JSON, JSON lines, SRT and WebVTT.

A file that failed takes its place among the others, with its error. Subtitles show captions in
[brackets]; what is only a failure has no cue.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from eureka.errors import EurekaError
from eureka.types import HearingResult, Segment, Task


class ExportFormat(StrEnum):
    """Forms of a result."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    SRT = "srt"
    VTT = "vtt"


@dataclass(frozen=True, slots=True)
class FileFailure:
    """A file that gave no result."""

    path: str
    code: str
    reason: str
    message: str

    @classmethod
    def of(cls, path: str, error: EurekaError) -> FileFailure:
        """The failure that `error` makes of a file."""
        return cls(path, error.code, error.reason, error.message)

    def to_dict(self) -> dict[str, Any]:
        """Plain object with the field names of the command line's JSON output."""
        error = {"code": self.code, "reason": self.reason, "message": self.message}
        return {"path": self.path, "error": error}


Outcome = HearingResult | FileFailure


def render(outcomes: Sequence[Outcome], form: ExportFormat) -> str:
    """All outcomes in one form, in their order, ending with a line feed.

    JSON of one outcome is its object, of several {"results": [...]}. Text lines of several files start
    with the path; their subtitles follow one another, each file's times from its own start.
    """
    if form is ExportFormat.JSON:
        plain = [outcome.to_dict() for outcome in outcomes]
        return _json(plain[0] if len(plain) == 1 else {"results": plain}, indent=2) + "\n"
    if form is ExportFormat.JSONL:
        return "".join(json_line(outcome) for outcome in outcomes)
    results = [outcome for outcome in outcomes if isinstance(outcome, HearingResult)]
    if form is ExportFormat.SRT:
        return srt(results)
    if form is ExportFormat.VTT:
        return vtt(results)
    return "".join(text_line(result, with_path=len(outcomes) > 1) for result in results)


def json_line(outcome: Outcome) -> str:
    """One JSON object on one line."""
    return _json(outcome.to_dict(), indent=None) + "\n"


def text_line(result: HearingResult, with_path: bool) -> str:
    """The text of one result; of a classification, the label."""
    text = result.text if result.task is not Task.CLASSIFY else result.label or "(no label)"
    return f"{result.path}: {text}\n" if with_path else f"{text}\n"


def srt(results: Sequence[HearingResult]) -> str:
    """SubRip: numbered cues, times with a comma."""
    cues = (
        f"{number}\n{_clock(segment.start_seconds, ',')} --> {_clock(segment.end_seconds, ',')}\n"
        f"{_one_line(segment.text).replace('-->', '->')}\n"
        for number, segment in enumerate(_cues(results), start=1)
    )
    return "\n".join(cues)


def vtt(results: Sequence[HearingResult]) -> str:
    """WebVTT: a header, cues with a full stop in their times, text escaped."""
    cues = (
        f"{_clock(segment.start_seconds, '.')} --> {_clock(segment.end_seconds, '.')}\n"
        f"{html.escape(_one_line(segment.text), quote=False)}\n"
        for segment in _cues(results)
    )
    return "\n".join(["WEBVTT\n", *cues])


def _json(plain: dict[str, Any], indent: int | None) -> str:
    return json.dumps(plain, ensure_ascii=False, indent=indent, allow_nan=False)


def _cues(results: Sequence[HearingResult]) -> list[Segment]:
    """Segments of each result in order of time, as subtitles show them."""
    return [cue for result in results for cue in sorted(map(_shown_by(result), result.segments), key=_times)]


def _shown_by(result: HearingResult) -> Callable[[Segment], Segment]:
    if result.task is Task.CAPTION:
        return lambda segment: replace(segment, text=f"[{segment.text}]")
    return lambda segment: segment


def _times(segment: Segment) -> tuple[float, float]:
    return segment.start_seconds, segment.end_seconds


def _one_line(text: str) -> str:
    """An empty line would end the cue."""
    return " ".join(text.split())


def _clock(seconds: float, separator: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{separator}{rest % 1000:03}"
