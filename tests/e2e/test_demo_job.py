"""make demo with the served stack and a job on it, as a user runs it; nothing of it stays."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import wave
from pathlib import Path

import psutil
import pytest

from eureka.types import SAMPLE_RATE_HZ
from tests.helpers.redis_server import redis_program
from tests.helpers.stack_user import StackUser


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def printed(user: StackUser, output: Path) -> list[str]:
    redis_program()
    command = [sys.executable, "-m", "eureka.cli.demo", "--served", "--seed", "4", "--output", str(output)]
    environment = {**user.environment, "EUREKA_DATA_FOLDER": str(output / "no pack")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_job_is_told_from_its_start_to_its_result(printed: list[str], output: Path) -> None:
    assert not [line for line in printed if line.startswith("Left out")]
    lines = printed[printed.index(next(line for line in printed if line.startswith("job "))) :]
    names = [line[:10].strip() for line in lines if not line.startswith(" ")]
    assert names == ["job", "segments", "words", "ledger", "state", "result", "stopped", "took"]
    assert re.search(r"SUCCEEDED  0:01:\d\d of 0:01:\d\d  (\d+) of \1 windows", "\n".join(lines))
    assert any(line.startswith("state     SUCCEEDED") for line in lines)
    assert sum(" s  " in line and " - " in line for line in lines) == 12
    assert any("“" in line for line in lines) and any("  [" in line for line in lines)


def test_result_accounts_for_each_sample_of_the_recording(printed: list[str], output: Path) -> None:
    with wave.open(str(output / "recording.wav")) as reader:
        num_samples = reader.getnframes()
    assert 90 <= num_samples / SAMPLE_RATE_HZ < 102
    told = next(line for line in printed if line.startswith("ledger"))
    assert told.endswith(f"{num_samples} of {num_samples} samples accounted for, to the sample")
    result = json.loads((output / "job.json").read_text())
    assert result["state"] == "SUCCEEDED" and {"transcript", "caption"} == set(result["texts"])
    assert (output / "job.srt").read_text().startswith("1\n00:00:")


def test_nothing_is_left_running_or_stored(printed: list[str], user: StackUser) -> None:
    folders = [(one.info["environ"] or {}).get("EUREKA_STACK__FOLDER") for one in _processes()]
    assert str(user.folder) not in folders
    assert user.status() == {"ready": False, "components": []}
    objects = user.folder / "objects"
    assert list(objects.iterdir()), "the stack had another store"
    assert not list(objects.glob("*/jobs/*")) and not list(objects.glob("*/uploads/*"))


def _processes() -> list[psutil.Process]:
    return list(psutil.process_iter(["environ"]))
