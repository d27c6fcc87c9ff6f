"""The local stack as a user runs it: up, status, a call, a killed service, down."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from eureka.errors import StageUnavailableError
from eureka.runtime.triton_wheel import find_triton_wheel
from eureka.types import SAMPLE_RATE_HZ

PORTS = ("GATEWAY__PORT", "ENCODER__PORT", "ADAPTER__PORT", "DECODER__PORT")
TRITON_PORTS = ("TRITON__HTTP_PORT", "TRITON__GRPC_PORT", "TRITON__METRICS_PORT")
SERVICES = {"gateway", "encoder", "adapter", "decoder", "decoder-2", "triton"}
MODELS = {"model:audio_encoder", "model:moe_adapter", "model:audio_frontend", "model:llm_decoder"}


class StackUser:
    """Runs commands on a stack of its own."""

    def __init__(self, root: Path, folder: Path, checkpoint: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self._root = root
        own = {f"EUREKA_{name}": "0" for name in (*PORTS, *TRITON_PORTS)}
        own |= {"EUREKA_STACK__FOLDER": str(folder), "EUREKA_CHECKPOINT": str(checkpoint)}
        self.environment = {**os.environ, **own}

    def run(self, *arguments: str, timeout: float = 100, status: int = 0) -> subprocess.CompletedProcess[str]:
        """One command; it must end with `status`, and its streams must be closed by then."""
        done = subprocess.run(
            [sys.executable, "-m", "eureka.cli.main", *arguments],
            cwd=self.folder.parent,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == status, done.stderr
        return done

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--format", "json").stdout)
        return found

    def components(self) -> dict[str, Any]:
        return {one["name"]: one for one in self.status()["components"]}


@pytest.fixture(scope="module")
def user(
    repo_root: Path, tmp_path_factory: pytest.TempPathFactory, checkpoint_folder: Path
) -> Iterator[StackUser]:
    try:
        find_triton_wheel()
    except StageUnavailableError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error.message} (CI=true: a skip is a failure)")
        pytest.skip(error.message)
    user = StackUser(repo_root, tmp_path_factory.mktemp("stack") / ".eureka", checkpoint_folder)
    yield user
    user.run("down")


@pytest.fixture(scope="module")
def running(user: StackUser) -> StackUser:
    done = user.run("up", "--detach", "--decoders", "2")
    assert "the stack is up; gateway 127.0.0.1:" in done.stderr
    return user


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "noise.wav"
    samples = np.random.default_rng(1).uniform(-0.1, 0.1, 2 * SAMPLE_RATE_HZ)
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def _until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_nothing_running_is_told_and_no_error(user: StackUser) -> None:
    assert user.status() == {"ready": False, "components": []}
    assert "no stack is running" in user.run("down").stderr


def test_status_names_every_process(running: StackUser) -> None:
    found = running.status()
    components = {one["name"]: one for one in found["components"]}
    assert found["ready"] is True
    assert set(components) == SERVICES | MODELS | {"supervisor"}
    assert all(set(one) == {"name", "pid", "address", "state"} for one in found["components"])
    assert {one["state"] for one in found["components"]} == {"ready"}
    assert components["model:audio_frontend"]["pid"] is None
    pids = [one["pid"] for name, one in components.items() if name != "model:audio_frontend"]
    assert all(map(psutil.pid_exists, pids)) and len(set(pids)) == len(pids)


def test_up_on_a_running_stack_says_so(running: StackUser) -> None:
    assert "running already" in running.run("up", "--detach").stderr


def test_file_is_heard_through_the_stack_as_in_one_process(running: StackUser, noise: Path) -> None:
    served = running.run("transcribe", str(noise), "--format", "json")
    local = running.run("transcribe", str(noise), "--format", "json", "--local")
    assert "in this process" not in served.stderr
    assert json.loads(served.stdout)["text"] == json.loads(local.stdout)["text"]


def test_killed_service_is_started_again(running: StackUser, noise: Path) -> None:
    before = running.components()["encoder"]
    os.kill(before["pid"], signal.SIGKILL)
    _until(lambda: running.components()["encoder"]["pid"] not in (None, before["pid"]))
    _until(lambda: running.status()["ready"])
    after = running.components()["encoder"]
    assert after["address"] == before["address"]
    assert "component_restarted component=encoder" in (running.logs / "supervisor.log").read_text()
    running.run("transcribe", str(noise))


def test_down_leaves_no_process(running: StackUser) -> None:
    pids = [one["pid"] for one in running.status()["components"] if one["pid"] is not None]
    assert "the stack is down" in running.run("down").stderr
    assert not [pid for pid in pids if _lives(pid)]
    assert running.status() == {"ready": False, "components": []}


def test_failed_start_tells_why_and_leaves_nothing(user: StackUser, tmp_path: Path) -> None:
    user.environment["EUREKA_CHECKPOINT"] = str(tmp_path)  # no checkpoint lies there
    done = user.run("up", "--detach", status=1)
    assert "STACK_NOT_STARTED" in done.stderr
    assert "the end of" in done.stderr
    assert user.status() == {"ready": False, "components": []}
    assert not [one for one in psutil.process_iter(["environ"]) if _belongs(one, user.folder)]


def _lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def _belongs(process: psutil.Process, folder: Path) -> bool:
    environment = process.info["environ"] or {}
    return environment.get("EUREKA_STACK__FOLDER") == str(folder)
