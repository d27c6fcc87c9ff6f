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

from eureka.errors import StageUnavailableError
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

    async def stop(self, grace_seconds: float) -> None:
        """Ask it to end, and kill it when the grace is over."""

    def kill(self) -> None:
        """End it at once."""


class ServicePart:
    """A service as a child process.

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

    @property
    def pid(self) -> int | None:
        """Its process; None when there is none."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def spawn(self) -> None:
        """Start its process."""
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
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
        """Return when its process is gone; how it ended, in words."""
        return "it did not start" if self._process is None else exit_words(await self._process.wait())

    async def stop(self, grace_seconds: float) -> None:
        """Ask it to end, and kill it when the grace is over."""
        if self._process is None or self.pid is None:
            return
        self._send(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), grace_seconds)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


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
