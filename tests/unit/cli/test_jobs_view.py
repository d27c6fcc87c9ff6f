"""Jobs as lines, on a terminal and elsewhere."""

from __future__ import annotations

import argparse
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from eureka.cli.jobs_view import WatchView, job_line, job_text, watch_line
from eureka.cli.main import build_parser
from eureka.clients.gateway_job_types import Job, JobFailure, JobOptions, JobState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JOB = Job("jobs/1", JobState.RUNNING, JobOptions(display_name="a.wav"), create_time=NOW)
HALF = replace(
    JOB, ended_seconds=1_800.0, total_seconds=3_600.0, num_ended=225, num_windows=450, round_number=1
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_watch_line_has_audio_windows_time_left_and_errors() -> None:
    left = replace(HALF, estimated_end_time=NOW + timedelta(seconds=90), reasons=("LENGTH: 1 spans, 8.0 s",))
    assert watch_line(left, NOW) == (
        "RUNNING  0:30:00 of 1:00:00  225 of 450 windows  about 0:01:30 left  LENGTH: 1 spans, 8.0 s"
    )
    failed = replace(
        JOB, state=JobState.FAILED, error=JobFailure("INVALID_ARGUMENT", "NOT_AUDIO", "no\x1baudio")
    )
    assert watch_line(failed, NOW) == "FAILED  no?audio (NOT_AUDIO)"


def test_terminal_shows_one_line_and_takes_it_away() -> None:
    stream = Terminal()
    with WatchView(stream, lambda: NOW) as view:
        view.show(HALF)
        view.show(replace(HALF, num_ended=226))
    shown = stream.getvalue()
    assert "\n" not in shown and shown.endswith("\r\x1b[K")
    assert "[##########..........]  50 %" in shown


def test_pipe_gets_a_line_of_each_state_and_one_now_and_then() -> None:
    stream, seconds = io.StringIO(), iter([0.0, 1.0, 2.0, 8.0, 8.5])
    with WatchView(stream, lambda: NOW, lambda: next(seconds)) as view:
        for job in (JOB, HALF, HALF, HALF, replace(HALF, state=JobState.SUCCEEDED)):
            view.show(job)
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["RUNNING", "RUNNING", "SUCCEEDED"]


def test_batch_shows_its_files_and_names_are_printable() -> None:
    batch = replace(JOB, children={JobState.SUCCEEDED: 2, JobState.FAILED: 1, JobState.PENDING: 0})
    assert "files: 2 succeeded, 1 failed" in job_text(batch)
    evil = replace(JOB, options=JobOptions(display_name="a\x1b[2Jb", labels={"k": "v\n"}))
    assert "\x1b" not in job_line(evil) and "k=v?" in job_text(evil)


def test_object_of_a_job_has_what_the_contract_names() -> None:
    plain = HALF.to_dict()
    assert {"name": "jobs/1", "state": "RUNNING", "progress": 0.5}.items() <= plain.items()


def parsed(*arguments: str) -> argparse.Namespace:
    return build_parser().parse_args(["jobs", *arguments])


def test_arguments_are_read() -> None:
    given = parsed("create", "a.wav", "--label", "k=v=w", "--tasks", "caption", "b.wav", "--deadline", "60")
    assert given.files == ["a.wav", "b.wav"] and given.label == [("k", "v=w")]
    assert given.tasks == ("caption",) and given.deadline == 60.0
    assert parsed("get", "12-34").name == parsed("get", "jobs/12-34").name == "jobs/12-34"


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "a.wav", "--tasks", "ask"),
        ("create", "a.wav", "--label", "none"),
        ("create", "a.wav", "--deadline", "0"),
        ("create", "a.wav", "--lane", "fast"),
        ("list", "--state", "DONE"),
        ("get",),
        ("download", "1", "--format", "doc"),
    ],
)
def test_mistakes_in_the_arguments_are_told(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed(*arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err
