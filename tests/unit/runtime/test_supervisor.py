"""The supervisor against a repository whose processes die, hang and refuse as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from eureka.errors import EurekaError, InvalidInputError, QueueFullError, StageUnavailableError
from eureka.runtime.health import HealthMonitor
from eureka.runtime.supervisor import ModelSupervisor, SupervisedModel, SupervisorTimes

TIMES = SupervisorTimes(
    idle_seconds=0.05,
    probe_timeout_seconds=0.1,
    busy_timeout_seconds=0.8,
    load_timeout_seconds=1,
    first_backoff_seconds=0.02,
    max_backoff_seconds=0.05,
)


class SmallTriton:
    """Models that answer until they are killed; as Triton, it calls a dead one ready."""

    def __init__(self) -> None:
        self.loaded = {"encoder", "frontend"}
        self.dead: set[str] = set()
        self.error: EurekaError | None = None
        self.is_hanging = False
        self.is_away = False
        self.failing_loads = 0
        self.calls: list[str] = []
        self.ended: list[str] = []

    async def load(self, model: str) -> None:
        self.calls.append(f"load {model}")
        if self.failing_loads:
            self.failing_loads -= 1
            raise EurekaError("it does not load")
        self.loaded.add(model)
        self.dead.discard(model)
        self.is_hanging = False

    async def unload(self, model: str) -> None:
        self.calls.append(f"unload {model}")
        self.loaded.clear()  # the ensemble goes with it

    def end_calls(self, model: str) -> None:
        self.ended.append(model)

    async def ready(self, model: str) -> bool:
        if self.is_away:
            raise StageUnavailableError("connection refused")
        return model in self.loaded

    async def ask(self, model: str) -> None:
        if self.is_away:
            raise StageUnavailableError("connection refused")
        if self.error is not None:
            raise self.error
        if self.is_hanging:
            await asyncio.sleep(60)
        if model in self.dead or model not in self.loaded:
            raise StageUnavailableError("stub process is not healthy", reason="MODEL_GONE")


def _supervised(triton: SmallTriton, name: str) -> SupervisedModel:
    return SupervisedModel(name, lambda: triton.ask(name))


@asynccontextmanager
async def _running(triton: SmallTriton) -> AsyncIterator[tuple[ModelSupervisor, HealthMonitor]]:
    monitor = HealthMonitor(None)
    dependents = (_supervised(triton, "frontend"),)
    supervisor = ModelSupervisor(
        triton, _supervised(triton, "encoder"), readiness=monitor, dependents=dependents, times=TIMES
    )
    task = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0.03)
    try:
        yield supervisor, monitor
    finally:
        task.cancel()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.005)


async def test_dead_model_is_reloaded_with_the_ensemble_over_it() -> None:
    triton = SmallTriton()
    async with _running(triton) as (supervisor, monitor):
        assert monitor.is_ready
        triton.dead.add("encoder")
        await _until(lambda: supervisor.num_reloads == 1)
        await _until(lambda: monitor.is_ready)
        assert triton.calls == ["unload encoder", "load encoder", "load frontend"]
        assert triton.loaded == {"encoder", "frontend"}
        assert triton.ended == ["encoder", "frontend"]


async def test_ensemble_that_was_never_there_is_left_alone() -> None:
    triton = SmallTriton()
    triton.loaded = {"encoder"}
    async with _running(triton) as (supervisor, _):
        triton.dead.add("encoder")
        await _until(lambda: supervisor.num_reloads == 1)
        assert triton.calls == ["unload encoder", "load encoder"]


async def test_model_gone_in_traffic_is_asked_about_at_once() -> None:
    triton = SmallTriton()
    monitor = HealthMonitor(None)
    supervisor = ModelSupervisor(
        triton,
        _supervised(triton, "encoder"),
        readiness=monitor,
        times=SupervisorTimes(idle_seconds=60, probe_timeout_seconds=0.1),
    )
    task = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0.03)
    triton.dead.add("encoder")
    supervisor.record_error(StageUnavailableError("gone", reason="MODEL_GONE"))
    await _until(lambda: supervisor.num_reloads == 1)
    task.cancel()


async def test_hanging_model_is_reloaded() -> None:
    triton = SmallTriton()
    async with _running(triton) as (supervisor, monitor):
        triton.is_hanging = True
        await _until(lambda: supervisor.num_reloads == 1)
        await _until(lambda: monitor.is_ready)


async def test_busy_model_that_answers_traffic_is_left_alone() -> None:
    triton = SmallTriton()
    async with _running(triton) as (supervisor, monitor):
        triton.is_hanging = True
        for _ in range(30):
            await asyncio.sleep(0.02)
            supervisor.record_answer()
        assert triton.calls == []
        assert monitor.is_ready


async def test_model_with_a_long_call_is_left_alone_for_the_longer_time() -> None:
    triton = SmallTriton()
    async with _running(triton) as (supervisor, monitor):
        supervisor.record_running(1)
        triton.is_hanging = True
        await asyncio.sleep(0.5)
        assert triton.calls == []
        assert monitor.is_ready
        await _until(lambda: supervisor.num_reloads == 1)


async def test_full_queue_is_no_death_unless_it_never_moves() -> None:
    triton = SmallTriton()
    async with _running(triton) as (supervisor, monitor):
        triton.error = QueueFullError("full")
        for _ in range(20):
            await asyncio.sleep(0.05)
            supervisor.record_answer()
        assert triton.calls == []
        assert monitor.is_ready
        await _until(lambda: "load encoder" in triton.calls)
        triton.error = None
        await _until(lambda: monitor.is_ready)


async def test_wrong_input_in_traffic_does_not_hide_a_dead_model() -> None:
    triton = SmallTriton()
    async with _running(triton) as (supervisor, _):
        triton.dead.add("encoder")
        for _ in range(20):
            supervisor.record_error(InvalidInputError("wrong"))
            await asyncio.sleep(0.02)
        assert supervisor.num_reloads == 1


async def test_triton_that_is_away_is_waited_for_without_loading() -> None:
    triton = SmallTriton()
    async with _running(triton) as (supervisor, monitor):
        triton.is_away = True
        await _until(lambda: not monitor.is_ready)
        await asyncio.sleep(0.2)
        triton.is_away = False
        await _until(lambda: monitor.is_ready)
        assert triton.calls == triton.ended == []
        assert supervisor.num_reloads == 0


async def test_load_that_fails_is_tried_again_after_a_pause() -> None:
    triton = SmallTriton()
    async with _running(triton) as (supervisor, monitor):
        triton.failing_loads = 3
        triton.dead.add("encoder")
        await _until(lambda: not monitor.is_ready)
        await _until(lambda: supervisor.num_reloads == 1)
        assert triton.calls.count("load encoder") == 4
