"""New processes in the place of running ones, by the supervisor and over its socket, with real children."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eureka.errors import EurekaError, NotFoundError, StageUnavailableError, WrongStateError
from eureka.runtime.stack import Stack, StackTimes
from eureka.runtime.stack_control import SOCKET, ask_renew, control_socket
from eureka.runtime.stack_plan import Component, PortChooser
from eureka.runtime.stack_probe import is_serving
from eureka.runtime.stack_process import ServicePart, listens
from eureka.runtime.stack_state import StackFolder

TIMES = StackTimes(start_timeout_seconds=20, grace_seconds=2, first_backoff_seconds=0.05)


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    made = StackFolder(tmp_path / ("deep" * 30) / "state")  # too deep for the address of a socket
    made.logs.mkdir(parents=True)
    return made


@pytest.fixture
def make_part(repo_root: Path, folder: StackFolder) -> Callable[..., ServicePart]:
    ports = PortChooser()

    def make(name: str, *flags: str, shares_port: bool = True) -> ServicePart:
        port = ports.near("127.0.0.1", 0)
        command = (sys.executable, "-m", "tests.helpers.small_service", str(port), *flags)
        component = Component(name, command, f"127.0.0.1:{port}", "", shares_port=shares_port)
        health = functools.partial(is_serving, component.address)
        return ServicePart(component, repo_root, folder.log_file(name), health)

    return make


@asynccontextmanager
async def _running(
    folder: StackFolder, *parts: ServicePart, times: StackTimes = TIMES
) -> AsyncIterator[Stack]:
    async def no_proof() -> None:
        """There is no gateway."""

    stack, up = Stack([list(parts)], "127.0.0.1:1", folder, no_proof, times), asyncio.Event()
    running = asyncio.create_task(stack.run(up.set))
    await asyncio.wait_for(up.wait(), 20)
    try:
        yield stack
    finally:
        stack.request_stop()
        await asyncio.wait_for(running, 10)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_renewed_part_listens_before_the_old_process_is_told_to_end(folder, make_part, caplog) -> None:
    part, order = make_part("encoder"), []
    port = int(part.component.address.rpartition(":")[2])
    async with _running(folder, part) as stack:
        old = part.pid
        assert old is not None
        renewing = asyncio.create_task(stack.renew("encoder"))
        while _lives(old):
            assert await is_serving(part.component.address), "there is a gap"
            order.append(part.pid)
            await asyncio.sleep(0.01)
        assert await renewing == part.pid != old
        assert part.pid is not None and listens(part.pid, port)
        state = folder.read_any().component("encoder")
        assert (state.pid, state.state) == (part.pid, "ready")
        await asyncio.sleep(0.3)
        assert part.pid == state.pid, "the supervisor took the end of the old process for a death"
    assert old in order
    assert "component_ended" not in caplog.messages
    assert not _lives(state.pid)


async def test_new_process_that_does_not_start_leaves_the_old_one(folder, make_part, tmp_path) -> None:
    obstacle = tmp_path / "obstacle"
    part = make_part("decoder", "--fail-if", str(obstacle))
    async with _running(folder, part) as stack:
        old = part.pid
        obstacle.touch()
        with pytest.raises(StageUnavailableError, match=r"exit status 3.*the old one goes on") as raised:
            await stack.renew("decoder")
        assert raised.value.reason == "COMPONENT_ENDED"
        assert part.pid == old and await is_serving(part.component.address)
        assert folder.read_any().component("decoder").state == "ready"
        obstacle.unlink()
        assert await stack.renew("decoder") != old


async def test_part_with_a_port_of_its_own_is_stopped_and_started(folder, make_part, caplog) -> None:
    part = make_part("worker", shares_port=False)
    async with _running(folder, part) as stack:
        old = part.pid
        assert await stack.renew("worker") == part.pid != old
        assert await is_serving(part.component.address)
        await asyncio.sleep(0.3)
        assert folder.read_any().component("worker").pid == part.pid
    assert "component_ended" not in caplog.messages


async def test_old_process_that_does_not_end_is_killed_after_the_grace(folder, make_part) -> None:
    part = make_part("gateway", "--deaf")
    times = StackTimes(start_timeout_seconds=20, grace_seconds=0.3)
    async with _running(folder, part, times=times) as stack:
        old = part.pid
        assert await stack.renew("gateway") != old
        assert not _lives(old)


async def test_renewed_part_that_dies_is_started_again(folder, make_part) -> None:
    part = make_part("adapter")
    async with _running(folder, part) as stack:
        new = await stack.renew("adapter")
        assert new is not None
        os.kill(new, signal.SIGKILL)
        async with asyncio.timeout(10):
            while part.pid in (None, new):
                await asyncio.sleep(0.02)


async def test_stop_in_the_middle_of_a_renewal_leaves_no_process(folder, make_part) -> None:
    part = make_part("gateway", "--deaf")
    times = StackTimes(start_timeout_seconds=20, grace_seconds=1)
    async with _running(folder, part, times=times) as stack:
        old = part.pid
        renewing = asyncio.create_task(stack.renew("gateway"))
        async with asyncio.timeout(10):
            while part.pid == old:
                await asyncio.sleep(0.02)
        new = part.pid
        assert _lives(old) and _lives(new)
        stack.request_stop()
        with pytest.raises(asyncio.CancelledError):
            await renewing
    assert not _lives(old) and not _lives(new)


async def test_unknown_component_is_named_with_those_there_are(folder, make_part) -> None:
    async with _running(folder, make_part("encoder"), make_part("gateway")) as stack:
        with pytest.raises(NotFoundError, match="no component 'decoder'; it has encoder, gateway"):
            await stack.renew("decoder")


async def test_stack_that_stops_renews_nothing(folder, make_part) -> None:
    async with _running(folder, make_part("encoder")) as stack:
        stack.request_stop()
        with pytest.raises(WrongStateError) as raised:
            await stack.renew("encoder")
    assert raised.value.reason == "STACK_NOT_READY"


async def test_socket_carries_wishes_of_its_owner_and_their_outcome(folder) -> None:
    async def renew(name: str) -> int:
        if name != "encoder":
            raise NotFoundError(f"no {name}", reason="NO_COMPONENT")
        return 17

    async with control_socket(folder.path, renew):
        rights = stat.S_IMODE((folder.path / SOCKET).stat().st_mode)
        assert await asyncio.to_thread(ask_renew, folder.path, "encoder", 5) == 17
        with pytest.raises(EurekaError, match="no oven") as raised:
            await asyncio.to_thread(ask_renew, folder.path, "oven", 5)
    assert raised.value.reason == "NO_COMPONENT"
    assert rights == 0o600
    with pytest.raises(WrongStateError) as raised:
        ask_renew(folder.path, "encoder", 5)
    assert raised.value.reason == "STACK_NOT_RUNNING"


async def test_wish_that_takes_too_long_is_said_to(folder) -> None:
    async with control_socket(folder.path, lambda name: asyncio.sleep(30, 1)):
        with pytest.raises(StageUnavailableError) as raised:
            await asyncio.to_thread(ask_renew, folder.path, "encoder", 0.2)
    assert raised.value.reason == "NO_ANSWER"


async def test_socket_answers_what_is_no_wish(folder) -> None:
    async with control_socket(folder.path, lambda name: asyncio.sleep(0, 1)):
        here = os.getcwd()
        os.chdir(folder.path)
        try:
            reader, writer = await asyncio.open_unix_connection(SOCKET)
        finally:
            os.chdir(here)
        writer.write(b"[]\n")
        assert b"INVALID_REQUEST" in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await writer.wait_closed()
