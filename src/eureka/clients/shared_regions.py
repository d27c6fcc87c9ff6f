"""System shared memory between a client and a Triton on the same machine: a small pool of regions.

A tensor in a region crosses as a name; large ones are several times faster than inline. Each region is
registered with the server once and used by one call at a time. A region whose call may still be running in
the server is never given to another call.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from eureka.errors import NotFoundError, StageUnavailableError

_T = TypeVar("_T")

_FOLDER = Path("/dev/shm")
"""Where Linux keeps POSIX shared memory."""

_SMALLEST_BYTES = 1 << 20
"""Sizes are doubled from here, so that regions are seldom made anew."""


class RegionRegistry(Protocol):
    """The server's side."""

    async def register_region(self, name: str, key: str, num_bytes: int) -> None:
        """Make a region known under `name`."""
        ...

    async def unregister_region(self, name: str) -> None:
        """Forget a region."""
        ...


@dataclass(slots=True, eq=False)
class SharedRegion:
    """A piece of shared memory; its file is gone after `close`.

    Attributes:
        name: in the server's registry; the file's name too.
        memory: the bytes.
        is_registered: known to the server.
    """

    name: str
    memory: mmap.mmap
    is_registered: bool = False

    @classmethod
    def create(cls, num_bytes: int) -> SharedRegion:
        """A new region of at least so many bytes, readable by this user only.

        Raises:
            StageUnavailableError: reason NO_SHARED_MEMORY; there is no room for it.
        """
        size = _SMALLEST_BYTES
        while size < num_bytes:
            size *= 2
        name = f"eureka-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            return cls(name, _mapped(_FOLDER / name, size))
        except OSError as error:
            message = f"no shared memory for {size:,} bytes ({error.strerror}); give /dev/shm more room"
            raise StageUnavailableError(message, reason="NO_SHARED_MEMORY") from error

    @property
    def num_bytes(self) -> int:
        """Size."""
        return len(self.memory)

    def write(self, offset: int, array: NDArray[Any]) -> int:
        """Copy an array to `offset`; the offset behind it, aligned to 64 bytes."""
        self.memory[offset : offset + array.nbytes] = array.tobytes()
        return -(-(offset + array.nbytes) // 64) * 64

    def read(self, offset: int, num_bytes: int) -> bytes:
        """A copy of a part."""
        return self.memory[offset : offset + num_bytes]

    def close(self) -> None:
        """Remove the file; a server that has it mapped keeps its own mapping."""
        self.memory.close()
        (_FOLDER / self.name).unlink(missing_ok=True)


class RegionPool:
    """At most `num_regions` regions at once; callers wait for a free one.

    Args:
        registry: the server.
        num_regions: how many calls may use shared memory at a time.
    """

    def __init__(self, registry: RegionRegistry, num_regions: int = 4) -> None:
        self._registry = registry
        self._free: list[SharedRegion] = []
        self._places = asyncio.Semaphore(num_regions)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, num_bytes: int, work: Callable[[SharedRegion], Awaitable[_T]]) -> _T:
        """Result of `work` with a registered region of at least so many bytes.

        A caller that is cancelled leaves the line. Once its work has a region, that runs to its end in the
        background: only then is the server done with the region. After an error nobody knows what the server
        still does with it, so it is dropped.

        Raises:
            StageUnavailableError: reason NO_SHARED_MEMORY; there is no room for a region.
        """
        await self._places.acquire()
        task = asyncio.ensure_future(self._with_region(num_bytes, work))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for calls that run on, then remove all regions."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        while self._free:
            await self._drop(self._free.pop())

    async def _with_region(self, num_bytes: int, work: Callable[[SharedRegion], Awaitable[_T]]) -> _T:
        try:
            region = await self._take(num_bytes)
            try:
                result = await work(region)
            except BaseException:
                await self._drop(region)
                raise
        except (StageUnavailableError, NotFoundError):
            for free in self._free:  # the server may have been restarted
                free.is_registered = False
            raise
        self._free.append(region)
        return result

    async def _take(self, num_bytes: int) -> SharedRegion:
        region = self._free.pop() if self._free else None
        if region is not None and region.num_bytes < num_bytes:
            await self._drop(region)
            region = None
        region = region or SharedRegion.create(num_bytes)
        if not region.is_registered:
            try:
                await self._registry.register_region(region.name, f"/{region.name}", region.num_bytes)
            except BaseException:
                region.close()
                raise
            region.is_registered = True
        return region

    async def _drop(self, region: SharedRegion) -> None:
        region.close()
        if region.is_registered:
            with contextlib.suppress(Exception):  # a server that is away has forgotten it already
                await self._registry.unregister_region(region.name)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._places.release()
        if not task.cancelled():
            task.exception()  # taken here, in case nobody waits for it any more


def padded_bytes(*arrays: NDArray[np.generic]) -> int:
    """Bytes that arrays take one behind the other, each aligned to 64."""
    return sum(-(-array.nbytes // 64) * 64 for array in arrays)


def _mapped(path: Path, num_bytes: int) -> mmap.mmap:
    """A new file of shared memory, all of it there: full memory is an error here, not a crash later."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, num_bytes)
        return mmap.mmap(descriptor, num_bytes)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
