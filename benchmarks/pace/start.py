"""C9: from the start of a process to its first answer, with graphs kept from an earlier start and without."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pace.figures import Row, middle
from pace.sides import NUMERICS, Numerics, Side
from pace.suite import Suite

SCRIPT = Path(__file__).resolve().parent / "ready.py"
NUM_STARTS, NUM_BUILDS = 7, 3
MAX_START_SECONDS, MAX_BUILD_SECONDS = 5.0, 30.0


def starts(suite: Suite) -> Iterator[Row]:
    """First build, then starts on what it left, each in a process of its own, by the clock."""
    for numerics in NUMERICS:
        with tempfile.TemporaryDirectory(prefix="eureka-bench-") as scratch:
            folders = [Path(scratch) / str(number) for number in range(suite.rounds(NUM_BUILDS))]
            builds = [_seconds(suite.checkpoint, numerics, folder) for folder in folders]
            warm = [_seconds(suite.checkpoint, numerics, folders[0]) for _ in range(suite.rounds(NUM_STARTS))]
        suffix = "" if numerics == "exact" else f"_{numerics}"
        what = f"{Side(suite.checkpoint, numerics).name}, process start to first answer, {{}}"
        yield Row(f"C9{suffix}", middle(warm, "s", limit=MAX_START_SECONDS), what.format("graphs kept"))
        yield Row(f"C9_build{suffix}", middle(builds, "s", limit=MAX_BUILD_SECONDS), what.format("no graphs"))


def _seconds(checkpoint: Path, numerics: Numerics, graphs: Path) -> float:
    command = [sys.executable, str(SCRIPT), str(checkpoint), numerics, str(graphs)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        spent = time.perf_counter() - started
    assert line.startswith("ready") and process.returncode == 0, f"{command} failed"
    return spent
