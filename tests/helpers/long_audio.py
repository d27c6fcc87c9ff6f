"""Long files written block by block, and a command run to its end with the memory that it took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eureka.types import SAMPLE_RATE_HZ
from tests.helpers.sounds import noise


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command left behind.

    Attributes:
        result: the JSON object on stdout.
        events: JSON log lines of stderr.
        peak_bytes: largest resident memory of the process.
        cpu_seconds: user and system time of the process and its children.
    """

    result: dict[str, Any]
    events: list[dict[str, Any]]
    peak_bytes: int
    cpu_seconds: float


def write_minutes(path: Path, minutes: int, *, has_pauses: bool) -> Path:
    """Write a WAV of whole minutes; with pauses each minute holds bursts, gaps and 12 s of silence."""
    minute = noise(60.0, seed=minutes)
    if has_pauses:
        rng = np.random.default_rng(7)
        for start in np.cumsum(rng.uniform(2.0, 6.5, 9)):
            minute[int(start * SAMPLE_RATE_HZ) :][: int(0.35 * SAMPLE_RATE_HZ)] *= 0.001
        minute[48 * SAMPLE_RATE_HZ :] = 0.0
    block = (minute * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        for number in range(minutes):
            file.writeframes(np.roll(block, 0 if has_pauses else 997 * number).tobytes())
    return path


def run_measured(arguments: Sequence[object]) -> Finished:
    """Run `eureka` with JSON output and JSON logs; fails unless it exits with 0."""
    command = [str(Path(sys.executable).parent / "eureka"), *map(str, arguments), "--format", "json"]
    environment = os.environ | {"EUREKA_LOG_LEVEL": "INFO", "EUREKA_LOG_FORMAT": "json"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            out, err = process.stdout.read(), process.stderr.read()
        except BaseException:
            process.kill()
            raise
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, err
    events = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    return Finished(json.loads(out), events, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime)
