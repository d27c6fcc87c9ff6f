"""Parts of the running stack die, one after another; files are heard again after each (make chaos)."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.helpers.stack_user import StackUser, lives, until

pytestmark = pytest.mark.slow

BACK_SECONDS = 60.0
PARTS = (
    "gateway",
    "encoder",
    "adapter",
    "decoder",
    "model:audio_encoder",
    "model:moe_adapter",
    "model:llm_decoder",
    "triton",
    *(("redis", "worker") if shutil.which("redis-server") else ()),
)


def _hears(user: StackUser, file: Path) -> bool:
    gateway = user.components()["gateway"]["address"]
    try:
        user.run("transcribe", str(file), "--gateway", gateway)
    except AssertionError:
        return False
    return True


@pytest.fixture(scope="module")
def started(user: StackUser) -> StackUser:
    user.run("up", "--detach")
    return user


@pytest.mark.parametrize("name", PARTS)
def test_killed_part_comes_back_with_its_address(started: StackUser, noise: Path, name: str) -> None:
    before = started.components()[name]
    os.kill(before["pid"], signal.SIGKILL)
    began = time.monotonic()
    until(lambda: started.components()[name]["pid"] not in (None, before["pid"]), BACK_SECONDS)
    until(lambda: started.status()["ready"], BACK_SECONDS)
    assert started.components()[name]["address"] == before["address"]
    assert _hears(started, noise)
    print(f"{name} was back after {time.monotonic() - began:.1f} s")


def test_killed_supervisor_leaves_nothing_and_the_next_stack_comes_up(
    started: StackUser,
    noise: Path,
) -> None:
    components = started.components()
    pids = started.pids()
    os.kill(components["supervisor"]["pid"], signal.SIGKILL)
    assert started.status() == {"ready": False, "components": []}
    started.run("up", "--detach")
    assert not [pid for pid in pids if lives(pid)]
    assert _hears(started, noise)


def test_interrupt_ends_a_stack_in_the_foreground(started: StackUser) -> None:
    started.run("down")
    command = [sys.executable, "-m", "eureka.cli.main", "up"]
    process = psutil.Popen(command, cwd=started.folder.parent, env=started.environment)
    until(lambda: started.status()["ready"], BACK_SECONDS)
    pids = started.pids()
    process.send_signal(signal.SIGINT)
    assert process.wait(BACK_SECONDS) == 0
    assert not [pid for pid in pids if lives(pid)]
