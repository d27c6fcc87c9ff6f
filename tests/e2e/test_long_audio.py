"""Long files through `eureka transcribe --local`: nothing left out, nothing heard twice, constant memory."""

import sys
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from tests.helpers.long_audio import Finished, run_measured, write_minutes
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

MAX_GROWTH_BYTES = 30 << 20
"""Memory that a long file may take beyond that for one minute."""

TOKEN_SECONDS = 0.08
SAMPLE_RATE_HZ = 16_000

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read the Linux way"),
    pytest.mark.timeout(600),  # 15 s of one core; far more beside other work
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("long")


def hear(checkpoint: Path, folder: Path, minutes: int, *, has_pauses: bool) -> Finished:
    path = write_minutes(folder / f"{minutes}.wav", minutes, has_pauses=has_pauses)
    try:
        return run_measured(["transcribe", path, "--local", "--checkpoint", checkpoint])
    finally:
        path.unlink()


@pytest.fixture(scope="module")
def one_minute(checkpoint: Path, folder: Path) -> Finished:
    return hear(checkpoint, folder, 1, has_pauses=True)


def samples(seconds: float) -> int:
    """A time of the ledger in samples; it must be a whole number of them."""
    whole = round(seconds * SAMPLE_RATE_HZ)
    assert abs(whole / SAMPLE_RATE_HZ - seconds) < 1e-9
    return whole


def check_ledger(finished: Finished, minutes: int) -> None:
    """Owned spans tile the file to the sample; what was heard is what the encoder counted."""
    rows = finished.result["coverage"]
    edges = [samples(row["start"]) for row in rows] + [samples(rows[-1]["end"])]
    assert edges[0] == 0 and edges[-1] == minutes * 60 * SAMPLE_RATE_HZ
    assert [samples(row["end"]) for row in rows] == edges[1:]
    assert all(start < end for start, end in pairwise(edges))
    assert {row["ending"] for row in rows} <= {"STOP", "SILENCE"}

    heard, num_windows = 0.0, 0
    for _, group in groupby(rows, key=lambda row: row["window"]):
        parts = list(group)
        first, last = parts[0], parts[-1]
        assert first["heard_start"] <= first["start"] and last["end"] <= last["heard_end"]
        if first["ending"] != "SILENCE":
            heard += last["heard_end"] - first["heard_start"]
            num_windows += 1
    encoded = sum(event["encoded_seconds"] for event in finished.events if event["event"] == "file_heard")
    assert num_windows > 5 * minutes
    assert 0 <= encoded - heard < TOKEN_SECONDS * num_windows


def test_ten_minutes_without_a_pause_are_heard_whole_in_constant_memory(
    checkpoint: Path, folder: Path, one_minute: Finished
) -> None:
    finished = hear(checkpoint, folder, 10, has_pauses=False)
    check_ledger(finished, 10)
    assert finished.peak_bytes - one_minute.peak_bytes < MAX_GROWTH_BYTES


@pytest.mark.large
def test_an_hour_is_heard_whole_in_constant_memory(
    checkpoint: Path, folder: Path, one_minute: Finished
) -> None:
    finished = hear(checkpoint, folder, 60, has_pauses=True)
    check_ledger(finished, 60)
    assert "SILENCE" in {row["ending"] for row in finished.result["coverage"]}
    assert finished.peak_bytes - one_minute.peak_bytes < MAX_GROWTH_BYTES
