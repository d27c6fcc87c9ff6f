"""Watching jobs, for threads and for asyncio: a stream that breaks off goes on where it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import grpc

from eureka.api.v1 import job_service_pb2 as api
from eureka.clients import gateway_job_messages as messages
from eureka.clients.gateway_calls import Attempts
from eureka.clients.gateway_job_types import JobUpdate
from eureka.clients.gateway_streams import broken_off

Start = Callable[[str, Attempts], Any]
"""Starts the call after a resume token."""


WATCH_ATTEMPTS = 30
"""Attempts at a connection, with pauses that grow to 5 s: two minutes, in which a gateway is replaced."""


def watch_attempts(attempts: Attempts, timeout_seconds: float | None) -> Attempts:
    """Attempts of a watch: no deadline unless one is named, and patience unless none may be repeated."""
    retry = attempts.retry
    if retry.max_attempts > 1:
        retry = replace(retry, max_attempts=max(retry.max_attempts, WATCH_ATTEMPTS))
    deadline = None if timeout_seconds is None else attempts.deadline
    return replace(attempts, retry=retry, deadline=deadline)


class _Place:
    """Where a watch is, over all its calls; attempts count anew after each message."""

    def __init__(self, attempts: Attempts, resume_token: str) -> None:
        self.first = attempts
        self.attempts = replace(attempts)
        self.token = resume_token
        self.has_ended = False

    def take(self, response: api.WatchJobResponse) -> JobUpdate:
        """The update that a message holds."""
        update = messages.update_of(response)
        self.attempts = replace(self.first)
        self.token = update.resume_token
        self.has_ended = update.job.state.is_final
        return update


class JobWatch(Iterator[JobUpdate]):
    """Updates of one job until it has ended; a context manager. Closing it, or leaving it, ends the call.

    The last update may be followed by more text of the same final state.

    Args:
        start: starts the call, anew for each connection.
        attempts: of each connection.
        resume_token: of an update; empty begins at the start.
    """

    def __init__(self, start: Start, attempts: Attempts, resume_token: str) -> None:
        self._start = start
        self._place = _Place(attempts, resume_token)
        self._is_closed = False
        self._call = start(resume_token, self._place.attempts)

    @property
    def resume_token(self) -> str:
        """Goes on after the last update."""
        return self._place.token

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __next__(self) -> JobUpdate:
        while not self._is_closed:
            try:
                return self._place.take(next(self._call))
            except StopIteration:
                self._is_closed = True
                if not self._place.has_ended:
                    raise broken_off() from None
            except grpc.RpcError as failure:
                self._go_on_after(failure)
        raise StopIteration

    def close(self) -> None:
        """End the call; the job goes on."""
        self._is_closed = True
        self._call.cancel()

    def _go_on_after(self, failure: grpc.RpcError) -> None:
        if self._is_closed:  # by another thread
            return
        time.sleep(self._place.attempts.pause_after(failure))
        self._call = self._start(self._place.token, self._place.attempts)


class AsyncJobWatch(AsyncIterator[JobUpdate]):
    """As `JobWatch`, for asyncio; the call starts with the first update."""

    def __init__(self, start: Start, attempts: Attempts, resume_token: str) -> None:
        self._start = start
        self._place = _Place(attempts, resume_token)
        self._is_closed = False
        self._call: Any = None

    @property
    def resume_token(self) -> str:
        """Goes on after the last update."""
        return self._place.token

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> JobUpdate:
        while not self._is_closed:
            if self._call is None:
                self._call = self._start(self._place.token, self._place.attempts)
            try:
                response = await self._call.read()
            except grpc.RpcError as failure:
                await self._go_on_after(failure)
                continue
            if response is not grpc.aio.EOF:  # type: ignore[attr-defined]  # missing in grpc's stubs
                return self._place.take(response)
            self._is_closed = True
            if not self._place.has_ended:
                raise broken_off()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the call; the job goes on."""
        self._is_closed = True
        if self._call is not None:
            self._call.cancel()

    async def _go_on_after(self, failure: grpc.RpcError) -> None:
        if self._is_closed:  # by another task
            return
        await asyncio.sleep(self._place.attempts.pause_after(failure))
        self._call = None
