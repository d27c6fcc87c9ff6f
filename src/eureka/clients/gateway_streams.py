"""Deltas of generated answers, for threads and for asyncio.

Closing a stream early cancels its call; a call is tried again only before its first delta. The last delta is
given out when the status is there, too: a call that is dropped before it counts as cancelled at the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc

from eureka.api.v1 import audio_service_pb2 as api
from eureka.clients import gateway_results as results
from eureka.clients.gateway_calls import Attempts
from eureka.clients.gateway_types import Delta
from eureka.errors import EurekaError


class DeltaStream(Iterator[Delta]):
    """Deltas of one answer; a context manager. Closing it, or leaving it, cancels the call.

    Args:
        start: starts the call, anew for each attempt.
        attempts: what is left of them.
    """

    def __init__(self, start: Callable[[], Any], attempts: Attempts) -> None:
        self._start = start
        self._attempts = attempts
        self._call = start()
        self._has_started = False
        self._has_ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __next__(self) -> Delta:
        while not self._has_ended:
            try:
                response = next(self._call)
            except StopIteration:
                self._has_ended = True
                raise broken_off() from None
            except grpc.RpcError as failure:
                self._go_on_after(failure)
                continue
            delta = self._given(response)
            if delta.end is not None:
                with contextlib.suppress(grpc.RpcError):
                    next(self._call, None)
            return delta
        raise StopIteration

    def close(self) -> None:
        """Cancel the call; no delta comes after it."""
        self._has_ended = True
        self._call.cancel()

    def _given(self, response: api.GenerateResponse) -> Delta:
        self._has_started = True
        delta = results.delta_of(response)
        self._has_ended = self._has_ended or delta.end is not None
        return delta

    def _go_on_after(self, failure: grpc.RpcError) -> None:
        """Start again after the pause; what was given out already cannot be taken back."""
        if self._has_ended:  # closed by another thread
            return
        if self._has_started:
            self._has_ended = True
            raise self._attempts.error(failure) from failure
        time.sleep(self._attempts.pause_after(failure))
        self._call = self._start()


class AsyncDeltaStream(AsyncIterator[Delta]):
    """As `DeltaStream`, for asyncio; what it needs is read, and the call started, with the first delta.

    Args:
        prepare: reads and uploads the audio; gives a function that starts the call, anew for each attempt.
        attempts: what is left of them.
    """

    def __init__(self, prepare: Callable[[], Awaitable[Callable[[], Any]]], attempts: Attempts) -> None:
        self._prepare = prepare
        self._attempts = attempts
        self._start: Callable[[], Any] | None = None
        self._call: Any = None
        self._has_started = False
        self._has_ended = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> Delta:
        while not self._has_ended:
            try:
                response = await self._read()
            except grpc.RpcError as failure:
                await self._go_on_after(failure)
                continue
            if response is grpc.aio.EOF:  # type: ignore[attr-defined]
                self._has_ended = True
                raise broken_off()
            delta = self._given(response)
            if delta.end is not None:
                with contextlib.suppress(grpc.RpcError, StopAsyncIteration):
                    await self._read()
            return delta
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Cancel the call; no delta comes after it."""
        self._has_ended = True
        if self._call is not None:
            self._call.cancel()

    async def _read(self) -> Any:
        if self._call is None:
            self._start = self._start or await self._prepare()
            self._call = self._start()
        try:
            return await self._call.read()
        except asyncio.CancelledError:
            if self._has_ended and not _is_cancelled_itself():
                raise StopAsyncIteration from None  # closed by another task
            raise

    def _given(self, response: api.GenerateResponse) -> Delta:
        self._has_started = True
        delta = results.delta_of(response)
        self._has_ended = self._has_ended or delta.end is not None
        return delta

    async def _go_on_after(self, failure: grpc.RpcError) -> None:
        if self._has_ended:  # closed by another task
            return
        if self._has_started:
            self._has_ended = True
            raise self._attempts.error(failure) from failure
        await asyncio.sleep(self._attempts.pause_after(failure))
        self._call = None


def _is_cancelled_itself() -> bool:
    """Whether somebody cancelled the running task, not only the call that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def broken_off() -> EurekaError:
    """The error of a stream that stops before its last message."""
    return EurekaError("the answer broke off without its end", reason="INCOMPLETE_STREAM")
