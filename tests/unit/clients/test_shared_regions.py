"""Regions of shared memory, over a server that only remembers names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eureka.clients.shared_regions import RegionPool, SharedRegion
from eureka.errors import StageUnavailableError


class Registry:
    """Knows the regions that are registered."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def register_region(self, name: str, key: str, num_bytes: int) -> None:
        self.names.append(name)

    async def unregister_region(self, name: str) -> None:
        self.names.remove(name)


class Server:
    """Works with regions until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.seen: list[str] = []

    async def work(self, region: SharedRegion) -> str:
        self.seen.append(region.name)
        await self.go_on.wait()
        return region.name


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
async def pool(registry: Registry) -> AsyncIterator[RegionPool]:
    pool = RegionPool(registry, num_regions=1)
    yield pool
    await pool.close()
    assert registry.names == []


async def _begun(pool: RegionPool, server: Server, num_calls: int) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(pool.run(10, server.work)) for _ in range(num_calls)]
    while not server.seen:
        await asyncio.sleep(0)
    return tasks


async def test_region_is_used_by_one_call_after_another(pool: RegionPool, registry: Registry) -> None:
    server = Server()
    tasks = await _begun(pool, server, 3)
    assert len(server.seen) == 1
    server.go_on.set()

    assert await asyncio.gather(*tasks) == registry.names * 3


async def test_cancelled_callers_leave_the_line(pool: RegionPool) -> None:
    server = Server()
    tasks = await _begun(pool, server, 4)
    for task in tasks[1:]:
        task.cancel()
    await asyncio.gather(*tasks[1:], return_exceptions=True)
    server.go_on.set()
    await tasks[0]
    await pool.run(10, server.work)

    assert len(server.seen) == 2  # the first, and the last; none of those that left


async def test_region_of_a_cancelled_call_is_kept_until_its_work_ends(pool: RegionPool) -> None:
    server = Server()
    (task,) = await _begun(pool, server, 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    following = asyncio.create_task(pool.run(10, server.work))
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(server.seen) == 1
    server.go_on.set()

    assert await following == server.seen[0]


async def test_region_is_dropped_after_an_error(pool: RegionPool, registry: Registry) -> None:
    used: list[Path] = []

    async def fail(region: SharedRegion) -> None:
        used.append(Path("/dev/shm", region.name))
        assert used[0].exists()
        raise StageUnavailableError("away")

    with pytest.raises(StageUnavailableError):
        await pool.run(10, fail)
    assert registry.names == []
    assert not used[0].exists()


async def test_no_room_for_a_region_is_told(pool: RegionPool) -> None:
    with pytest.raises(StageUnavailableError) as caught:
        await pool.run(1 << 60, Server().work)
    assert caught.value.reason == "NO_SHARED_MEMORY"
