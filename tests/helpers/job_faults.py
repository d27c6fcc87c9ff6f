"""Faults for jobs on a stack over a real S3 server: each is done, waited for until it is healed, and noted.

Windows are heard by workers of the tests, whose ways to the stages go through proxies. The stack's own worker
serves the first lane only, in which results are merged; it sweeps, too.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError

from eureka.clients.task_queue import LANES
from eureka.runtime.settings import Settings
from eureka.runtime.stack_plan import queue_at
from eureka.runtime.triton import model_processes
from tests.helpers.job_stack import JobStack
from tests.helpers.kept_workers import KeptWorkers
from tests.helpers.radosgw import shared_radosgw
from tests.helpers.radosgw_faults import end_gateway, put_counts, run_gateway
from tests.helpers.stack_user import StackUser, until
from tests.helpers.tcp_proxy import TcpProxy
from workers.stages import WorkerStages

BUCKET = "jobs"
HEAL_SECONDS = 60.0
NUM_WORKERS = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """One that has happened; times of the monotonic clock."""

    name: str
    began: float
    healed: float


@dataclass
class FaultyStack:
    """A stack with all that can be taken from it.

    Attributes:
        jobs: on it.
        workers: that hear.
        store: folder of the S3 server's daemons.
        proxies: between workers and stages.
        stages: the way around the proxies, to ask whether the stages are there.
        rng: chooses victims.
        down_seconds: how long store and network stay away.
        faults: that have happened.
    """

    jobs: JobStack
    workers: KeptWorkers
    store: Path
    proxies: list[TcpProxy]
    stages: WorkerStages
    rng: random.Random
    down_seconds: float
    faults: list[Fault] = field(default_factory=list)

    def kinds(self) -> dict[str, Callable[[], str]]:
        """All faults by name; each returns when it is healed, with what it hit."""
        return {
            "worker": self._worker,
            "model": self._model,
            "decoder": lambda: self._component("decoder", signal.SIGKILL),
            "gateway": lambda: self._component("gateway", signal.SIGTERM),
            "redis": lambda: self._component("redis", signal.SIGKILL),
            "flush": self._flush,
            "store": self._store,
            "network": self._network,
        }

    def happen(self, name: str) -> None:
        """Let a fault happen and heal."""
        began = time.monotonic()
        hit = self.kinds()[name]()
        self.faults.append(Fault(name, began, time.monotonic()))
        print(f"  {name}: {hit}, healed after {time.monotonic() - began:.1f} s", flush=True)

    def puts(self) -> dict[str, int]:
        """Key of each object -> how often the S3 server took a PUT of it."""
        prefix = f"/{BUCKET}/"
        counts = put_counts(self.store)
        return {path.removeprefix(prefix): n for path, n in counts.items() if path.startswith(prefix)}

    def _worker(self) -> str:
        name = self.rng.choice(sorted(self.workers.pids()))
        pid = self.workers.kill(name)
        until(lambda: self.workers.pids().get(name, pid) != pid, HEAL_SECONDS)
        return name

    def _model(self) -> str:
        triton = self.jobs.components()["triton"]["pid"]
        victim = self.rng.choice(sorted(model_processes(triton), key=lambda one: one.model))
        os.kill(victim.pid, signal.SIGKILL)
        until(lambda: _has_new(triton, victim.model, victim.pid), HEAL_SECONDS)
        until(self.stages.is_serving, HEAL_SECONDS)
        return victim.model

    def _component(self, name: str, number: signal.Signals) -> str:
        pid = self.jobs.components()[name]["pid"]
        os.kill(pid, number)

        def is_back() -> bool:
            now = self.jobs.components()[name]
            return now["state"] == "ready" and now["pid"] not in (pid, None)

        until(is_back, HEAL_SECONDS)
        return f"{name} by {number.name}"

    def _flush(self) -> str:
        with self.jobs.redis() as redis:
            try:
                redis.flushall()
            except RedisError as error:
                raise AssertionError("Redis was away although nothing else was broken") from error
        return "all keys"

    def _store(self) -> str:
        command = end_gateway(self.store)
        time.sleep(self.down_seconds)
        run_gateway(command)
        return f"S3 server down for {self.down_seconds:.0f} s"

    def _network(self) -> str:
        for proxy in self.proxies:
            proxy.go_away()
        time.sleep(self.down_seconds)
        for proxy in self.proxies:
            proxy.come_back()
        return f"stages refused for {self.down_seconds:.0f} s"


@contextmanager
def faulty_stack(
    user: StackUser, folder: Path, checkpoint: Path, seed: int, down_seconds: float
) -> Iterator[FaultyStack]:
    """All of it, up inside the block.

    Args:
        user: without a stack.
        folder: for the S3 server.
        checkpoint: that is served.
        seed: of the choice of victims.
        down_seconds: how long store and network stay away.
    """
    with ExitStack() as opened:
        server = opened.enter_context(shared_radosgw(folder))
        user.environment |= {
            "EUREKA_CHECKPOINT": str(checkpoint),
            "EUREKA_BATCH_INVARIANT": "true",
            "EUREKA_STORAGE__KIND": "s3",
            "EUREKA_STORAGE__ENDPOINT": server.endpoint,
            "EUREKA_STORAGE__BUCKET": BUCKET,
            "EUREKA_STORAGE__ACCESS_KEY": server.access_key,
            "EUREKA_STORAGE__SECRET_KEY": server.secret_key,
            "EUREKA_STORAGE__CREATE_BUCKET": "true",
            "EUREKA_STACK__WORKERS": "1",
            "EUREKA_WORKER__LANES": LANES[0],
            "EUREKA_WORKER__CLAIM_SECONDS": "5",
        }
        user.run("up", "--detach")
        opened.callback(user.run, "down")
        stack = JobStack(user)
        proxies = {name: TcpProxy(_address(target)) for name, target in stack.targets.items()}
        for proxy in proxies.values():
            opened.enter_context(proxy)
        own = {f"EUREKA_GATEWAY__{name.upper()}": f"127.0.0.1:{p.port}" for name, p in proxies.items()}
        own |= queue_at(stack.redis_address) | {"EUREKA_WORKER__LANES": ",".join(LANES[1:])}
        own |= {"EUREKA_LOG_LEVEL": "INFO"}
        workers = opened.enter_context(KeptWorkers(NUM_WORKERS, user.environment | own, user.logs))
        stages = WorkerStages(Settings(gateway=stack.targets))
        opened.callback(stages.close)
        ways = list(proxies.values())
        yield FaultyStack(stack, workers, folder / "ceph", ways, stages, random.Random(seed), down_seconds)


def _address(target: str) -> tuple[str, int]:
    host, _, port = target.rpartition(":")
    return host, int(port)


def _has_new(triton: int, model: str, old_pid: int) -> bool:
    return any(one.model == model and one.pid != old_pid for one in model_processes(triton))
