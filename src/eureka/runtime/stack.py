"""The supervisor of a local stack: starts all parts, restarts what dies, stops all in order.

It comes up when every part welcomes calls and a real inference has come through the gateway; a part that ends
before that ends the start. From then on whatever dies is started again, with a pause that grows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

from eureka.errors import EurekaError, NotFoundError, StageUnavailableError, WrongStateError
from eureka.runtime.stack_process import Part
from eureka.runtime.stack_state import ComponentState, StackFolder, StackState, State

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StackTimes:
    """How patient the supervisor is, in seconds.

    Attributes:
        start_timeout_seconds: until a real inference must have come through.
        grace_seconds: for one group of parts to end before it is killed.
        first_backoff_seconds: pause before the first restart; doubles.
        max_backoff_seconds: longest pause.
        steady_seconds: a part that lived so long begins again with the first pause.
    """

    start_timeout_seconds: float = 180.0
    grace_seconds: float = 35.0
    first_backoff_seconds: float = 0.5
    max_backoff_seconds: float = 30.0
    steady_seconds: float = 60.0


class Stack:
    """Parts under one supervisor, in the process that builds it.

    Args:
        groups: parts by the order of stopping, read from the end: members of a group stop together.
        gateway: host:port that callers use.
        folder: where the state is told.
        prove: a real inference through the gateway; raises what went wrong.
        times: how patient it is.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Part]],
        gateway: str,
        folder: StackFolder,
        prove: Callable[[], Awaitable[None]],
        times: StackTimes | None = None,
    ) -> None:
        self._groups = groups
        self._gateway = gateway
        self._folder = folder
        self._prove = prove
        self._times = times or StackTimes()
        self._states: dict[str, State] = {part.component.name: "starting" for part in self._parts()}
        self._is_ready = False
        self._stopping = asyncio.Event()
        self._renewals: set[asyncio.Task[None]] = set()
        self._turns = {name: asyncio.Lock() for name in self._states}

    def request_stop(self) -> None:
        """Begin to stop; asked a second time, end everything at once."""
        if self._stopping.is_set():
            for part in self._parts():
                part.kill()
        self._stopping.set()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Come up, say so, keep up until asked to stop; everything is stopped on return.

        Raises:
            StageUnavailableError: reason STACK_NOT_STARTED; names the part, its reason and its log's end.
        """
        try:
            if await self._unless_stopped(self._come_up()):
                on_ready()
                await self._unless_stopped(self._keep_all())
        finally:
            await self._stop_all()

    async def _unless_stopped(self, work: Awaitable[None]) -> bool:
        """Await `work`, given up when a stop is asked for; whether it came to its end."""
        task, stop = asyncio.ensure_future(work), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            return task.done()
        finally:
            for one in (task, stop):
                one.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    # -- up ----------------------------------------------------------------------------------------

    async def _come_up(self) -> None:
        starting = [asyncio.create_task(self._first_start(part)) for part in self._parts()]
        try:
            async with asyncio.timeout(self._times.start_timeout_seconds):
                await asyncio.gather(*starting)
                await self._prove()
        except TimeoutError as error:
            raise self._late() from error
        except EurekaError as error:
            raise (
                self._not_started(error.message, error.component)
                if isinstance(error, _PartFailed)
                else (self._not_started(f"no inference through the gateway: {error.message}", "gateway"))
            ) from error
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
        self._is_ready = True
        self._write()
        logger.info("stack_ready", extra={"gateway": self._gateway})

    async def _first_start(self, part: Part) -> None:
        try:
            await self._start(part)
        except EurekaError as error:
            raise _PartFailed(error.message, error.reason, part.component.name) from error
        except OSError as error:  # a full disk, no more processes
            message = f"{part.component.name} could not be started: {error}"
            raise _PartFailed(message, "COMPONENT_NOT_STARTED", part.component.name) from error

    async def _start(self, part: Part) -> None:
        await part.spawn()
        self._tell(part, "starting")
        started = monotonic()
        await part.ready()
        self._tell(part, "ready")
        seconds = round(monotonic() - started, 2)
        extra = {"component": part.component.name, "pid": part.pid, "duration_seconds": seconds}
        logger.info("component_ready", extra=extra)

    def _late(self) -> StageUnavailableError:
        waiting = [name for name, state in self._states.items() if state != "ready"] or ["gateway"]
        limit = self._times.start_timeout_seconds
        return self._not_started(f"not ready within {limit:g} s: {', '.join(waiting)}", waiting[0])

    def _not_started(self, reason: str, name: str) -> StageUnavailableError:
        """The error of a failed start; Triton's launcher has put its log's end into the reason already."""
        lines = [f"the stack did not start: {reason}"]
        tail = [] if "\n" in reason else self._folder.log_tail(name)
        if tail:
            lines += [f"the end of {self._folder.log_file(name)}:", *tail]
        return StageUnavailableError("\n".join(lines), reason="STACK_NOT_STARTED")

    # -- keeping up --------------------------------------------------------------------------------

    async def _keep_all(self) -> None:
        await asyncio.gather(*(self._keep(part) for part in self._parts()))

    async def _keep(self, part: Part) -> None:
        """Start the part again whenever it ends."""
        pause = self._times.first_backoff_seconds
        while True:
            started = monotonic()
            how = await part.ended()
            async with self._turns[part.component.name]:
                if part.pid is not None:  # renewed meanwhile
                    continue
                if monotonic() - started > self._times.steady_seconds:
                    pause = self._times.first_backoff_seconds
                extra = {"component": part.component.name, "how": how, "pause_seconds": pause}
                logger.warning("component_ended", extra=extra)
                self._tell(part, "restarting")
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._times.max_backoff_seconds)
                await self._start_again(part)

    async def renew(self, name: str) -> int | None:
        """Put a new process in the place of a component's, without a gap where it shares its port; its id.

        Raises:
            NotFoundError: reason NO_COMPONENT.
            WrongStateError: reason STACK_NOT_READY; it comes up or goes down.
            StageUnavailableError: the new process did not get ready; where ports are shared the old goes on.
        """
        part = self._named(name)
        if not self._is_ready or self._stopping.is_set():
            raise WrongStateError("the stack comes up or goes down now", reason="STACK_NOT_READY")
        renewal = asyncio.create_task(self._renew(part))
        self._renewals.add(renewal)
        try:
            await renewal
            return part.pid
        finally:
            self._renewals.discard(renewal)

    async def _renew(self, part: Part) -> None:
        async with self._turns[part.component.name]:
            extra: dict[str, object] = {"component": part.component.name, "old_pid": part.pid}
            started = monotonic()
            if not part.component.shares_port:
                self._tell(part, "restarting")
            try:
                await part.renew(self._times.start_timeout_seconds, self._times.grace_seconds)
            except OSError as error:  # a full disk, no more processes
                message = f"{part.component.name} could not be started: {error}"
                raise StageUnavailableError(message, reason="COMPONENT_NOT_STARTED") from error
            finally:
                self._tell(part, "restarting" if part.pid is None else "ready")
            extra |= {"pid": part.pid, "duration_seconds": round(monotonic() - started, 2)}
            logger.info("component_renewed", extra=extra)

    def _named(self, name: str) -> Part:
        for part in self._parts():
            if part.component.name == name:
                return part
        names = ", ".join(self._states)
        raise NotFoundError(f"the stack has no component {name!r}; it has {names}", reason="NO_COMPONENT")

    async def _start_again(self, part: Part) -> None:
        try:
            await self._start(part)
        except (EurekaError, OSError) as error:
            reason = getattr(error, "reason", type(error).__name__)
            logger.warning(
                "component_restart_failed", extra={"component": part.component.name, "reason": reason}
            )
        else:
            logger.warning("component_restarted", extra={"component": part.component.name, "pid": part.pid})

    # -- down --------------------------------------------------------------------------------------

    async def _stop_all(self) -> None:
        """The gateway first, so that callers hear at once; Triton last, so that what runs can end."""
        for renewal in self._renewals:
            renewal.cancel()
        await asyncio.gather(*self._renewals, return_exceptions=True)
        for group in reversed(self._groups):
            await asyncio.gather(*(self._stop(part) for part in group))
        logger.info("stack_stopped")

    async def _stop(self, part: Part) -> None:
        await part.stop(self._times.grace_seconds)
        self._tell(part, "stopped")

    # -- telling -----------------------------------------------------------------------------------

    def _tell(self, part: Part, state: State) -> None:
        self._states[part.component.name] = state
        self._write()

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # a full disk must not end what runs
            self._folder.write(self._state())

    def _state(self) -> StackState:
        return StackState(os.getpid(), self._gateway, self._is_ready, tuple(self._component_states()))

    def _component_states(self) -> Iterator[ComponentState]:
        for part in self._parts():
            component = part.component
            yield ComponentState(
                component.name,
                part.pid,
                component.address or None,
                self._states[component.name],
                component.metrics or None,
            )

    def _parts(self) -> Iterator[Part]:
        for group in self._groups:
            yield from group


class _PartFailed(StageUnavailableError):
    """A part that did not start, with its name."""

    def __init__(self, message: str, reason: str, component: str) -> None:
        super().__init__(message, reason=reason)
        self.component = component
