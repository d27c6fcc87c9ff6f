"""The supervisor over real small child processes."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from eureka.errors import StageUnavailableError
from eureka.runtime.stack import Stack, StackTimes
from eureka.runtime.stack_plan import Component, PortChooser
from eureka.runtime.stack_probe import is_serving
from eureka.runtime.stack_process import ServicePart
from eureka.runtime.stack_state import StackFolder

TIMES = StackTimes(start_timeout_seconds=20, grace_seconds=1, first_backoff_seconds=0.05)


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    made = StackFolder(tmp_path / "state")
    made.logs.mkdir(parents=True)
    return made


@pytest.fixture
def make_part(repo_root: Path, folder: StackFolder) -> Callable[..., ServicePart]:
    ports = PortChooser()

    def make(name: str, *flags: str) -> ServicePart:
        port = ports.near("127.0.0.1", 0)
        command = (sys.executable, "-m", "tests.helpers.small_service", str(port), *flags)
        component = Component(name, command, f"127.0.0.1:{port}", "")
        health = functools.partial(is_serving, component.address)
        return ServicePart(component, repo_root, folder.log_file(name), health)

    return make


async def _no_proof() -> None:
    """For stacks without a gateway that could answer."""


def _stack(
    folder: StackFolder,
    *groups: list[ServicePart],
    prove: Callable[[], Awaitable[None]] = _no_proof,
    times: StackTimes = TIMES,
) -> Stack:
    return Stack(groups, "127.0.0.1:1", folder, prove, times)


async def _until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_stack_restarts_what_dies_and_stops_all(folder, make_part) -> None:
    first, last = make_part("encoder"), make_part("gateway")
    stack, up = _stack(folder, [first], [last]), asyncio.Event()
    running = asyncio.create_task(stack.run(up.set))
    await asyncio.wait_for(up.wait(), 20)
    state = folder.read_any()
    assert state is not None and state.is_ready and state.supervisor_pid == os.getpid()
    assert [(one.name, one.state) for one in state.components] == [("encoder", "ready"), ("gateway", "ready")]

    killed = first.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    await _until(lambda: first.pid not in (None, killed))
    await _until(lambda: folder.read_any().component("encoder").state == "ready")
    assert folder.read_any().component("encoder").pid == first.pid
    assert last.pid == state.component("gateway").pid

    pids = [first.pid, last.pid]
    stack.request_stop()
    await asyncio.wait_for(running, 10)
    assert not any(map(_lives, pids))
    assert {one.state for one in folder.read_any().components} == {"stopped"}


async def test_stack_with_a_part_that_ends_tells_its_reason_and_log_and_leaves_nothing(
    folder, make_part
) -> None:
    good, bad = make_part("encoder"), make_part("gateway", "--fail")
    with pytest.raises(StageUnavailableError) as raised:
        await _stack(folder, [good], [bad]).run(lambda: pytest.fail("it cannot be up"))
    assert raised.value.reason == "STACK_NOT_STARTED"
    assert "gateway ended before it was ready (exit status 3)" in raised.value.message
    assert "NO_LUCK: this service never starts" in raised.value.message
    assert good.pid is None and bad.pid is None


async def test_stack_whose_part_cannot_be_spawned_tells_the_part_and_the_systems_reason(
    folder, make_part
) -> None:
    good, bad = make_part("encoder"), make_part("gateway")
    folder.log_file("gateway").mkdir()
    with pytest.raises(StageUnavailableError, match=r"gateway could not be started: .*directory") as raised:
        await _stack(folder, [good], [bad]).run(lambda: pytest.fail("it cannot be up"))
    assert raised.value.reason == "STACK_NOT_STARTED"
    assert good.pid is None and bad.pid is None


async def test_stack_without_an_inference_does_not_come_up(folder, make_part) -> None:
    async def refuse() -> None:
        raise StageUnavailableError("UNAVAILABLE: no model")

    part = make_part("gateway")
    with pytest.raises(StageUnavailableError, match="no inference through the gateway: UNAVAILABLE"):
        await _stack(folder, [part], prove=refuse).run(lambda: None)
    assert part.pid is None


async def test_stack_that_takes_too_long_names_what_it_waits_for(folder, make_part) -> None:
    late = make_part("adapter")
    late._is_healthy = functools.partial(asyncio.sleep, 0, False)
    times = StackTimes(start_timeout_seconds=0.5, grace_seconds=1)
    with pytest.raises(StageUnavailableError, match=r"not ready within 0.5 s: adapter"):
        await _stack(folder, [late], times=times).run(lambda: None)
    assert late.pid is None


async def test_stack_asked_to_stop_while_it_starts_stops(folder, make_part) -> None:
    part = make_part("gateway")
    stack = _stack(folder, [part])
    running = asyncio.create_task(stack.run(lambda: pytest.fail("it cannot be up")))
    await _until(lambda: part.pid is not None)
    stack.request_stop()
    await asyncio.wait_for(running, 10)
    assert part.pid is None


async def test_stack_kills_what_does_not_end_within_the_grace(folder, make_part) -> None:
    part = make_part("gateway", "--deaf")
    stack, up = _stack(folder, [part]), asyncio.Event()
    running = asyncio.create_task(stack.run(up.set))
    await asyncio.wait_for(up.wait(), 20)
    started = time.monotonic()
    stack.request_stop()
    await asyncio.wait_for(running, 10)
    assert 0.9 < time.monotonic() - started < 5
    assert part.pid is None


async def test_stack_asked_twice_ends_at_once(folder, make_part) -> None:
    part = make_part("gateway", "--deaf")
    times = StackTimes(start_timeout_seconds=20, grace_seconds=60)
    stack, up = _stack(folder, [part], times=times), asyncio.Event()
    running = asyncio.create_task(stack.run(up.set))
    await asyncio.wait_for(up.wait(), 20)
    stack.request_stop()
    stack.request_stop()
    await asyncio.wait_for(running, 10)
    assert part.pid is None


SUPERVISOR = """
import asyncio, functools, sys
from pathlib import Path
from eureka.runtime.stack_plan import Component
from eureka.runtime.stack_probe import is_serving
from eureka.runtime.stack_process import ServicePart

async def main(port, log):
    command = (sys.executable, "-m", "tests.helpers.small_service", port)
    component = Component("encoder", command, "127.0.0.1:" + port, "")
    part = ServicePart(component, Path.cwd(), Path(log), functools.partial(is_serving, component.address))
    await part.spawn()
    await part.ready()
    print(part.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


def test_killed_supervisor_takes_its_children_along(repo_root: Path, tmp_path: Path) -> None:
    port = str(PortChooser().near("127.0.0.1", 0))
    command = [sys.executable, "-c", SUPERVISOR, port, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=repo_root, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        assert _lives(child)
        supervisor.kill()
    deadline = time.monotonic() + 10
    while _lives(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(child)
