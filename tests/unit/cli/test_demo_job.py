"""Lines about a job in the demo, and what is said where none can run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eureka.cli.demo_job import ledger_line, result_lines, show_job
from eureka.cli.demo_served import show_served
from eureka.errors import StageUnavailableError
from eureka.runtime.settings import load_settings
from eureka.runtime.stack_state import ComponentState, StackFolder, StackState


def _row(start: float, end: float, ending: str = "STOP") -> dict[str, object]:
    return {"start": start, "end": end, "ending": ending}


def _segment(start: float, text: str, track: str) -> dict[str, object]:
    return {"start": start, "end": start + 1, "text": text, "track": track}


def _result(**fields: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "state": "SUCCEEDED",
        "audio_seconds": 4.0,
        "segments": [_segment(0, "rain", "caption"), _segment(1, "stop now", "transcript")],
        "texts": {"transcript": "stop now", "caption": "rain"},
        "coverage": [_row(0, 2.5), _row(2.5, 4, "SILENCE")],
        "reasons": [],
    }
    return plain | fields


def test_result_is_told_with_times_tracks_sums_and_state() -> None:
    assert result_lines(_result(), "stop me", 2.0) == [
        "segments    0.0 -   1.0 s  [rain]",
        "            1.0 -   2.0 s  “stop now”",
        "words     2 said, word error rate 0.50",
        "ledger    heard 2.500 s, silent 1.500 s: 64000 of 64000 samples accounted for, to the sample",
        "state     SUCCEEDED   (4.0 s of audio in 2.0 s)",
    ]


def test_long_result_is_cut_and_the_rest_counted() -> None:
    lines = result_lines(_result(segments=[_segment(n, "rain", "caption") for n in range(15)]), None, 1.0)
    assert lines[12] == "          and 3 more"
    assert lines[13].startswith("ledger")


def test_result_without_segments_and_with_reasons_says_so() -> None:
    lines = result_lines(_result(segments=[], state="PARTIAL", reasons=["1 window: ERROR"]), None, 1.0)
    assert lines[0] == "segments  none"
    assert lines[-1].startswith("state     PARTIAL, 1 window: ERROR ")


@pytest.mark.parametrize("rows", [[_row(0, 2), _row(2.1, 4)], [_row(0, 3.9)], []])
def test_ledger_with_a_hole_is_told(rows: list[dict[str, object]]) -> None:
    assert ledger_line(_result(coverage=rows)).endswith("NOT to the sample")


def test_job_on_a_stack_without_queue_is_refused_before_the_file_is_made(tmp_path: Path) -> None:
    folder = StackFolder(tmp_path)
    decoder = ComponentState("decoder", os.getpid(), "127.0.0.1:1", "ready")
    with folder.locked(), pytest.raises(StageUnavailableError, match="redis-server") as caught:
        folder.write(StackState(os.getpid(), "127.0.0.1:2", True, (decoder,)))
        show_job(load_settings(), "127.0.0.1:2", folder, lambda: pytest.fail("made"), tmp_path)
    assert caught.value.reason == "NO_QUEUE"


def test_demo_without_triton_names_stack_and_job_as_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise StageUnavailableError("no Triton here", reason="NO_TRITON")

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("eureka.runtime.triton_wheel.find_triton_wheel", missing)
    show_served(load_settings(), tmp_path, tmp_path, "", lambda gateway, folder: pytest.fail("a job"))
    told = capsys.readouterr().out
    assert told == "Left out: the served stack, and the job on it (NO_TRITON: no Triton here)\n"
