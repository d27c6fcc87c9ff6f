"""The local stack as a user runs it: up, status, a call, a killed service, down."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.helpers.stack_user import StackUser, lives, until

SERVICES = {"gateway", "encoder", "adapter", "decoder", "decoder-2", "triton"}
JOBS = {"redis", "worker"} if shutil.which("redis-server") else set()
MODELS = {"model:audio_encoder", "model:moe_adapter", "model:audio_frontend", "model:llm_decoder"}


@pytest.fixture(scope="module")
def running(user: StackUser) -> StackUser:
    done = user.run("up", "--detach", "--decoders", "2")
    assert "the stack is up; gateway 127.0.0.1:" in done.stderr
    return user


def test_nothing_running_is_told_and_no_error(user: StackUser) -> None:
    assert user.status() == {"ready": False, "components": []}
    assert "no stack is running" in user.run("down").stderr


def test_status_names_every_process(running: StackUser) -> None:
    found = running.status()
    components = {one["name"]: one for one in found["components"]}
    assert found["ready"] is True
    assert set(components) == SERVICES | JOBS | MODELS | {"supervisor"}
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


def test_command_of_helm_test_hears_a_sentence_through_the_stack(
    running: StackUser, repo_root: Path, tmp_path: Path
) -> None:
    template = (repo_root / "helm/eureka/templates/tests/caption.yaml").read_text()
    script = template.split("- |\n", 1)[1].split("      env:", 1)[0]
    assert "{{" not in script  # what runs in the pod is this text
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "EUREKA_TARGET": running.components()["gateway"]["address"],
    }
    command = ["sh", "-ec", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    heard = json.loads(done.stdout)
    assert heard["task"] == "caption" and heard["audio_seconds"] > 1


def test_killed_service_is_started_again(running: StackUser, noise: Path) -> None:
    before = running.components()["encoder"]
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: running.components()["encoder"]["pid"] not in (None, before["pid"]))
    until(lambda: running.status()["ready"])
    after = running.components()["encoder"]
    assert after["address"] == before["address"]
    assert "component_restarted component=encoder" in (running.logs / "supervisor.log").read_text()
    running.run("transcribe", str(noise))


def test_down_leaves_no_process(running: StackUser) -> None:
    pids = running.pids()
    assert "the stack is down" in running.run("down").stderr
    assert not [pid for pid in pids if lives(pid)]
    assert running.status() == {"ready": False, "components": []}


def test_failed_start_tells_why_and_leaves_nothing(user: StackUser, tmp_path: Path) -> None:
    user.environment["EUREKA_CHECKPOINT"] = str(tmp_path)  # no checkpoint lies there
    done = user.run("up", "--detach", status=1)
    assert "STACK_NOT_STARTED" in done.stderr
    assert "the end of" in done.stderr
    assert user.status() == {"ready": False, "components": []}
    assert not [one for one in psutil.process_iter(["environ"]) if _belongs(one, user.folder)]


def _belongs(process: psutil.Process, folder: Path) -> bool:
    environment = process.info["environ"] or {}
    return environment.get("EUREKA_STACK__FOLDER") == str(folder)
