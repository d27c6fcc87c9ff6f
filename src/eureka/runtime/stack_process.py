"""The parts of a local stack as child processes: services, and Triton by its launcher.

Each child is told to end when the supervisor dies, whatever kills that; each has a session of its own, so
that a Ctrl-C is for the supervisor alone, which then stops all in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import psutil

from eureka.errors import EurekaError, StageUnavailableError
from eureka.runtime.stack_plan import Component
from eureka.runtime.triton import TritonLauncher

_POLL_SECONDS = 0.1

HealthCheck = Callable[[], Awaitable[bool]]
"""Whether a component welcomes calls; False also when nobody is there."""


class Part(Protocol):
    """A component that can be started, again and again, and stopped."""

    @property
    def component(self) -> Component:
        """What it is."""

    @property
    def pid(self) -> int | None:
        """Its process; None when there is none."""

    async def spawn(self) -> None:
        """Start its process."""

    async def ready(self) -> None:
        """Return when it welcomes calls.

        Raises:
            StageUnavailableError: it ended before.
        """

    async def ended(self) -> str:
        """Return when its process is gone; how it ended, in words."""

    async def renew(self, limit_seconds: float, grace_seconds: float) -> None:
        """Put a new process in the place of the one that runs, which gets the grace to end.

        Raises:
            StageUnavailableError: the new one ended, or was not ready within the limit.
        """

    async def stop(self, grace_seconds: float) -> None:
        """Ask it to end, and kill it when the grace is over."""

    def kill(self) -> None:
        """End it at once."""


class ServicePart:
    """A service as a child process.

    One that shares its port is renewed without a gap: the new process listens beside the old one, once it is
    ready, and only then the old one is told to end. It stops listening, and its calls come to their end.

    Args:
        component: with its command.
        folder: in which it runs.
        log_file: what it writes is added there.
        is_healthy: asks it.
    """

    def __init__(self, component: Component, folder: Path, log_file: Path, is_healthy: HealthCheck) -> None:
        self.component = component
        self._folder = folder
        self._log_file = log_file
        self._is_healthy = is_healthy
        self._process: asyncio.subprocess.Process | None = None
        self._others: set[asyncio.subprocess.Process] = set()

    @property
    def pid(self) -> int | None:
        """Its process; None when there is none."""
        return None if self._process is None else _living_pid(self._process)

    async def spawn(self) -> None:
        """Start its process."""
        self._process = await self._new_process()

    async def _new_process(self) -> asyncio.subprocess.Process:
        with self._log_file.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *with_parent(self.component.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env={**os.environ, **self.component.environment},
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Return when it welcomes calls."""
        while not await self._is_healthy():
            if self.pid is None:
                message = f"{self.component.name} ended before it was ready ({await self.ended()})"
                raise StageUnavailableError(message, reason="COMPONENT_ENDED")
            await asyncio.sleep(_POLL_SECONDS)

    async def ended(self) -> str:
        """Return when its process is gone, and no new one in its place; how it ended, in words."""
        while (process := self._process) is not None:
            status = await process.wait()
            if process is self._process:
                return exit_words(status)
        return "it did not start"

    async def renew(self, limit_seconds: float, grace_seconds: float) -> None:
        """Put a new process in the place of the one that runs; without a gap where it shares its port."""
        if not self.component.shares_port:
            await self.stop(grace_seconds)
            await self.spawn()
            return await _within(limit_seconds, self.ready(), self.component.name)
        new = await self._new_process()
        self._others.add(new)  # `stop` ends it, too, should this be cancelled
        try:
            await _within(limit_seconds, self._listens(new), self.component.name)
        except EurekaError:
            await _stop(new, 0)
            self._others.discard(new)
            raise
        old, self._process = self._process, new
        self._others.discard(new)
        if old is not None:
            self._others.add(old)
            await _stop(old, grace_seconds)
            self._others.discard(old)

    async def _listens(self, process: asyncio.subprocess.Process) -> None:
        """Return when the process itself listens at the port: a call there may be for the old one."""
        port = int(self.component.address.rpartition(":")[2])
        while process.returncode is None:
            if await asyncio.to_thread(listens, process.pid, port):
                return
            await asyncio.sleep(_POLL_SECONDS)
        message = (
            f"the new {self.component.name} ended before it was ready ({exit_words(process.returncode)})"
        )
        raise StageUnavailableError(f"{message}; the old one goes on", reason="COMPONENT_ENDED")

    async def stop(self, grace_seconds: float) -> None:
        """Ask it to end, and kill it when the grace is over."""
        processes = [*self._others, *([] if self._process is None else [self._process])]
        await asyncio.gather(*(_stop(process, grace_seconds) for process in processes))

    def kill(self) -> None:
        """End it at once."""
        for process in (*self._others, self._process):
            if process is not None:
                _send(process, signal.SIGKILL)


class TritonPart:
    """Triton with its models; the launcher blocks, so it works on a thread.

    Args:
        component: Triton's.
        launcher: starts and stops it, and waits until each model has answered.
        before_start: called before each start, for example to keep the log of the last one.
    """

    def __init__(
        self, component: Component, launcher: TritonLauncher, before_start: Callable[[], None]
    ) -> None:
        self.component = component
        self._launcher = launcher
        self._before_start = before_start
        self._starting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process; None when there is none."""
        return self._launcher.pid

    async def spawn(self) -> None:
        """Start the server; its models load meanwhile."""
        await asyncio.to_thread(self._launcher.stop)  # what a server that died has left behind
        self._before_start()
        self._starting = asyncio.create_task(asyncio.to_thread(self._launcher.start))
        while self.pid is None and not self._starting.done():
            await asyncio.sleep(_POLL_SECONDS)

    async def ready(self) -> None:
        """Return when each model has answered."""
        if self._starting is not None:
            await asyncio.shield(self._starting)

    async def ended(self) -> str:
        """Return when the server is gone."""
        while self.pid is not None:
            await asyncio.sleep(_POLL_SECONDS)
        return "its process is gone"

    async def renew(self, limit_seconds: float, grace_seconds: float) -> None:
        """Stop it, when what it runs has ended, and start it again; its models load meanwhile."""
        await self.stop(grace_seconds)
        await self.spawn()
        await _within(limit_seconds, self.ready(), self.component.name)

    async def stop(self, grace_seconds: float) -> None:
        """Ask it to end; the launcher's own grace holds."""
        await asyncio.to_thread(self._launcher.stop)
        if self._starting is not None:
            with contextlib.suppress(Exception):  # a start that was cut short by this stop
                await self._starting

    def kill(self) -> None:
        """End it at once; its models notice and end too."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def listens(pid: int, port: int) -> bool:
    """Whether the process listens at the TCP port; False also when it is gone."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


async def _within(limit_seconds: float, work: Awaitable[None], name: str) -> None:
    try:
        await asyncio.wait_for(work, limit_seconds)
    except TimeoutError as error:
        message = f"the new {name} was not ready within {limit_seconds:g} s"
        raise StageUnavailableError(message, reason="COMPONENT_NOT_READY") from error


async def _stop(process: asyncio.subprocess.Process, grace_seconds: float) -> None:
    if process.returncode is not None:
        return
    _send(process, signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), grace_seconds)
    except TimeoutError:
        _send(process, signal.SIGKILL)
        await process.wait()


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _living_pid(process: asyncio.subprocess.Process) -> int | None:
    return process.pid if process.returncode is None else None


def service_command(module: str) -> list[str]:
    """Runs a module of the checkout as a child that ends with this process."""
    return with_parent((sys.executable, "-m", module))


def with_parent(command: tuple[str, ...]) -> list[str]:
    """`command` so that it ends with this process."""
    return [sys.executable, "-m", "eureka.runtime.exec_with_parent", str(os.getpid()), *command]


def exit_words(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
