"""What a checkpoint answered in the suite `nano`, kept set by set, so that a run that was killed goes on.

One JSON line an answer, below a first line that says what decides the answers. A file of another checkpoint,
other data or other arithmetic is begun anew, and so is that of a run that came to its end: the suite is run
again and again while model and code change, and then nothing old may be taken for new.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from eureka.errors import InvalidInputError
from eureka.evaluation.hearing import Heard, Question
from eureka.types import Segment, SegmentSource, Task

FORMAT = "eureka-evaluation-answers-1"
"""Stands in the first line."""

END = json.dumps({"is_whole": True})
"""The last line of a run that came to its end."""

Key = tuple[str, Question]
"""Clip and question."""


def answers_path(report: Path) -> Path:
    """Where the answers of a report lie: beside it."""
    return report.with_suffix(".answers.jsonl")


class HeardFile:
    """The answers of one run.

    Args:
        path: of the file; its folder is made.
        run: what decides the answers, as plain JSON.

    Attributes:
        known: what an earlier run of the same kind has kept.
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self._path = path
        self._head = json.dumps({"format": FORMAT, **run}, sort_keys=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.known = self._read()

    def add(self, answers: Iterable[tuple[Key, Heard]]) -> None:
        """Append the answers of one set; they are in the file when this returns."""
        lines = "".join(json.dumps(_plain(key, heard), ensure_ascii=False) + "\n" for key, heard in answers)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(lines)

    def end(self) -> None:
        """Say that the run came to its end; the file stays for comparisons."""
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(END + "\n")

    def _read(self) -> dict[Key, Heard]:
        content = self._path.read_bytes() if self._path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        head, *lines = whole.decode("utf-8").split("\n")
        if head != self._head or END in lines:
            self._path.write_text(self._head + "\n", encoding="utf-8")
            return {}
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))
        return dict(_of_plain(json.loads(line)) for line in lines if line)


def read_answers(path: Path) -> dict[Key, str]:
    """Texts of all answers in a file, whatever made them.

    Raises:
        InvalidInputError: the file holds no answers.
    """
    head, *lines = path.read_text(encoding="utf-8").split("\n")
    if not head or json.loads(head).get("format") != FORMAT:
        raise InvalidInputError(f"{path} holds no answers of format {FORMAT}")
    heard = (_of_plain(json.loads(line)) for line in lines if line and line != END)
    return {key: answer.text for key, answer in heard}


def _plain(key: Key, heard: Heard) -> dict[str, Any]:
    clip_id, question = key
    segments = [[s.start_seconds, s.end_seconds, s.text, s.source.value] for s in heard.segments]
    log_probability = heard.log_probability
    return {
        "clip": clip_id,
        "question": [question.task.value, list(question.labels), question.text],
        "text": heard.text,
        "label": heard.label,
        "log_probability": None if math.isnan(log_probability) else log_probability,
        "segments": segments,
    }


def _of_plain(plain: Mapping[str, Any]) -> tuple[Key, Heard]:
    task, labels, text = plain["question"]
    segments = tuple(Segment(a, b, said, SegmentSource(source)) for a, b, said, source in plain["segments"])
    number = plain["log_probability"]
    heard = Heard(plain["text"], segments, plain["label"], float("nan") if number is None else float(number))
    return (plain["clip"], Question(Task(task), tuple(labels), text)), heard
