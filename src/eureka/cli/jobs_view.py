"""Jobs as lines: for lists, for one job, and while one is watched."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TextIO

from eureka.clients.gateway_job_types import Job

BAR_LETTERS = 20
"""Width of the bar on a terminal."""

LINE_SECONDS = 5.0
"""Between two lines of the same state where there is no terminal."""


class WatchView:
    """Shows a watched job on stderr: one line that changes on a terminal, else a line now and then.

    Args:
        stream: where to write; stderr when omitted.
        utc: the time of day.
        clock: seconds of a growing clock.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._utc = utc
        self._clock = clock
        self._last: tuple[str, float] | None = None  # state, and when its line was written

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_terminal:
            self._write("\r\x1b[K")

    def show(self, job: Job) -> None:
        """The job as it stands."""
        line = watch_line(job, self._utc())
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r\x1b[K{f'{_bar(job)} {line}'[:width]}")
        elif self._is_due(job):
            self._write(f"{line}\n")

    def _is_due(self, job: Job) -> bool:
        """Whether a line is written: of each new state, and from time to time."""
        now = self._clock()
        if self._last is not None and self._last[0] == job.state and now - self._last[1] < LINE_SECONDS:
            return False
        self._last = job.state, now
        return True

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def watch_line(job: Job, now: datetime) -> str:
    """Audio, windows, time left and what went wrong, in one line."""
    return "  ".join([job.state.value, *_measures(job), *_left(job, now), *_problems(job)])


def job_line(job: Job) -> str:
    """A job in a list."""
    made = job.create_time.strftime("%Y-%m-%d %H:%M:%S") if job.create_time else ""
    share = f"{100 * job.progress:3.0f} %"
    return f"{job.name}  {job.state.value:<9}  {share}  {made}  {_printable(job.options.display_name)}"


def job_text(job: Job) -> str:
    """A job with all that is worth a line."""
    lines = [job_line(job), *(f"  {measure}" for measure in _measures(job))]
    lines += [f"  {problem}" for problem in _problems(job)]
    if job.parent:
        lines.append(f"  child of {job.parent}")
    lines += [f"  {name}={_printable(value)}" for name, value in job.options.labels.items()]
    return "\n".join(lines)


def _measures(job: Job) -> Iterator[str]:
    if job.total_seconds:
        yield f"{_clock(job.ended_seconds)} of {_clock(job.total_seconds)}"
        yield f"{job.num_ended} of {job.num_windows} windows"
    if job.round_number > 1:
        yield f"round {job.round_number}"
    if job.children is not None:
        counts = (f"{number} {state.value.lower()}" for state, number in job.children.items() if number)
        yield f"files: {', '.join(counts)}"


def _left(job: Job, now: datetime) -> Iterator[str]:
    if job.estimated_end_time is not None:
        yield f"about {_clock(max(0.0, (job.estimated_end_time - now).total_seconds()))} left"


def _problems(job: Job) -> Iterator[str]:
    if job.error is not None:
        yield f"{_printable(job.error.message)} ({job.error.reason})"
    yield from map(_printable, job.reasons)


def _bar(job: Job) -> str:
    filled = round(BAR_LETTERS * job.progress)
    return f"[{'#' * filled}{'.' * (BAR_LETTERS - filled)}] {100 * job.progress:3.0f} %"


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


def _printable(text: str) -> str:
    """Names come from whoever made the job: nothing of them reaches the terminal as a command."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
