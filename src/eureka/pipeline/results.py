"""Gathers the windows of a file into one result a task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eureka.errors import CancelledError, EurekaError
from eureka.pipeline.answers import add_usage
from eureka.pipeline.pieces import Piece, WindowResult, joined_segments, joined_text
from eureka.types import SAMPLE_RATE_HZ, Ending, HearingResult, Task, Usage


class ResultBuilder:
    """Takes window results in order and builds the result of each task.

    Holds text and rows, never audio: a few hundred bytes a window.
    """

    def __init__(self, path: str, model: str) -> None:
        self._path = path
        self._model = model
        self._pieces: dict[Task, list[Piece]] = {}
        self._usage = Usage()

    def add(self, window: WindowResult) -> None:
        """Take the next window."""
        self._usage = add_usage(self._usage, window.usage)
        for task, pieces in window.pieces.items():
            self._pieces.setdefault(task, []).extend(pieces)

    def build(self, task: Task) -> HearingResult:
        """The result of one task; `usage` is that of all tasks together.

        Raises:
            KeyError: the windows were not heard for this task.
        """
        return result_of(self._path, task, self._pieces[task], self._model, self._usage)


def gather(windows: Iterable[WindowResult], task: Task, path: str, model: str) -> HearingResult:
    """The result of one task from a stream of windows."""
    builder = ResultBuilder(path, model)
    for window in windows:
        builder.add(window)
    return builder.build(task)


def result_of(path: str, task: Task, pieces: Sequence[Piece], model: str, usage: Usage) -> HearingResult:
    """Result of pieces that tile a file from its first sample; without pieces, of no audio at all."""
    return HearingResult(
        path=path,
        task=task,
        text=joined_text(pieces),
        segments=joined_segments(pieces),
        coverage=tuple(piece.row for piece in pieces),
        audio_seconds=pieces[-1].owned.end_sample / SAMPLE_RATE_HZ if pieces else 0.0,
        model=model,
        usage=usage,
    )


def raise_unless_answered(result: HearingResult) -> None:
    """Turn a result without a full answer into the error that fits its worst row.

    For callers that want all or nothing; the result itself is never silently short.

    Raises:
        CancelledError: a row ended CANCELLED or DEADLINE.
        EurekaError: a row ended ERROR.
    """
    endings = {row.ending for row in result.coverage}
    if Ending.DEADLINE in endings:
        raise CancelledError(f"{result.path}: the deadline has passed", reason="DEADLINE_EXCEEDED")
    if Ending.CANCELLED in endings:
        raise CancelledError(f"{result.path}: cancelled")
    if Ending.ERROR in endings:
        raise EurekaError(f"{result.path}: the model failed on part of the audio")
