"""Readiness by the age of the last answer."""

from __future__ import annotations

import asyncio

from eureka.errors import InvalidInputError, QueueFullError, StageUnavailableError
from eureka.runtime.health import HealthMonitor, HealthTimes
from tests.helpers.grpc_services import quick_monitor


def test_monitor_is_not_ready_before_the_first_answer_and_ready_after() -> None:
    monitor = HealthMonitor(None)
    assert not monitor.is_ready
    monitor.record_answer()
    assert monitor.is_ready


def test_answer_grows_old() -> None:
    monitor = HealthMonitor(None, times=HealthTimes(max_silence_seconds=0.0))
    monitor.record_answer()
    assert not monitor.is_ready


def test_full_queue_shows_life_and_failures_and_wrong_input_do_not() -> None:
    for error, is_ready in (
        (QueueFullError("full"), True),
        (InvalidInputError("wrong"), False),
        (StageUnavailableError("away"), False),
    ):
        monitor = HealthMonitor(None)
        monitor.record_error(error)
        assert monitor.is_ready is is_ready


def test_model_that_is_gone_ends_readiness_until_the_next_answer() -> None:
    monitor = HealthMonitor(None)
    monitor.record_answer()
    monitor.record_gone()
    assert not monitor.is_ready
    monitor.record_answer()
    assert monitor.is_ready


async def test_draining_monitor_stays_unready() -> None:
    monitor = HealthMonitor(None)
    monitor.record_answer()
    await monitor.drain()
    monitor.record_answer()
    assert not monitor.is_ready


async def test_probe_asks_only_without_traffic() -> None:
    asked: list[int] = []

    async def probe() -> None:
        asked.append(1)

    monitor = quick_monitor(probe)
    monitor.record_answer()
    task = asyncio.create_task(monitor.run())
    for _ in range(10):
        await asyncio.sleep(0.02)
        monitor.record_answer()
    assert asked == []
    await asyncio.sleep(0.4)
    assert len(asked) >= 2
    task.cancel()


async def test_probe_that_hangs_or_breaks_leaves_the_loop_running() -> None:
    states = iter([asyncio.sleep(60), None])

    async def probe() -> None:
        hanging = next(states, None)
        if hanging is not None:
            await hanging
        raise ValueError("broken")

    monitor = quick_monitor(probe)
    task = asyncio.create_task(monitor.run())
    await asyncio.sleep(0.4)
    assert not task.done()
    assert not monitor.is_ready
    task.cancel()
