"""Jobs on a local stack of the tests: made in its store, told to its queue, waited for, heard again here."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis import Redis

from eureka.audio.decode import DecodeLimits
from eureka.audio.decode_pool import DecodePool
from eureka.clients.task_queue import CeleryTaskQueue, QueueConfig
from eureka.jobs.hearing import Clocks
from eureka.jobs.job_store import JobStore
from eureka.jobs.local_runner import LocalRunner
from eureka.jobs.source import OpenInPool
from eureka.jobs.spec import JobSpec
from eureka.runtime.settings import Settings
from eureka.runtime.settings_sections import StorageSettings
from eureka.runtime.stack_plan import queue_at
from eureka.runtime.storage import open_store
from eureka.storage.keys import RANDOM_BYTES, JobKeys, new_job_id
from eureka.storage.local import LocalObjectStore
from eureka.types import Priority
from tests.helpers.stack_user import StackUser
from workers.stages import WorkerStages

FORMS = ("srt", "vtt", "txt", "csv")


@dataclass
class JobStack:
    """Jobs of one running stack.

    Attributes:
        user: of the stack.
    """

    user: StackUser

    def __post_init__(self) -> None:
        self.jobs = JobStore(open_store(_storage(self.user.environment)))
        components = self.user.components()
        self.redis_address = components["redis"]["address"]
        self.gateway = components["gateway"]["address"]
        self.targets = {
            f"{name}_target": components[name]["address"] for name in ("encoder", "adapter", "decoder")
        }

    def components(self) -> dict[str, Any]:
        """As the supervisor tells it, at once."""
        plain = json.loads((self.user.folder / "stack.json").read_text())
        return {one["name"]: one for one in plain["components"]}

    def kill(self, keys: JobKeys, *pids: int) -> None:
        """End processes while the job is in the middle."""
        self.until_ended(keys, 2)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert self.jobs.result(keys, 1) is None, "the job had ended before"

    def redis(self) -> Redis:
        host, _, port = self.redis_address.rpartition(":")
        return Redis(host=host, port=int(port))

    def create(self, audio: bytes, is_told: bool = True, **fields: Any) -> JobKeys:
        """A job over the audio, in the queue unless not `is_told`."""
        spec = new_spec(**fields)
        self.jobs.objects.put(spec.keys.audio, audio)
        assert self.jobs.create(spec)
        if is_told:
            queue = CeleryTaskQueue(QueueConfig(queue_at(self.redis_address)["EUREKA_QUEUE__URL"]))
            queue.enqueue_plan(spec.tenant, spec.job_id, spec.lane.value)
            queue.close()
        return spec.keys

    def num_ended(self, keys: JobKeys) -> int:
        return len(self.jobs.ended_windows(keys, 1))

    def until_ended(self, keys: JobKeys, num_windows: int, seconds: float = 60) -> None:
        """Wait until so many windows have ended."""
        deadline = time.monotonic() + seconds
        while self.num_ended(keys) < num_windows:
            assert time.monotonic() < deadline, f"{self.num_ended(keys)} windows have ended"
            time.sleep(0.02)

    def result(self, keys: JobKeys, seconds: float = 90) -> dict[str, Any]:
        """The result, waited for."""
        deadline = time.monotonic() + seconds
        while (written := self.jobs.result(keys, 1)) is None:
            assert time.monotonic() < deadline, f"{self.num_ended(keys)} windows have ended"
            time.sleep(0.05)
        found: dict[str, Any] = json.loads(written)
        return found

    def heard_here(self, keys: JobKeys, folder: Path) -> JobStore:
        """The same job in another store, run by the local runner over the same stages."""
        other, spec = JobStore(LocalObjectStore(folder)), self.jobs.spec(keys)
        other.objects.put(keys.audio, self.jobs.objects.get(keys.audio))
        other.create(spec)
        stages = WorkerStages(Settings(gateway=self.targets))
        try:
            with (
                DecodePool(1, DecodeLimits()) as pool,
                stages.call(keys.tenant, 60.0, Priority.BULK, "here") as call,
            ):
                clocks = Clocks(lambda: datetime.now(UTC))
                LocalRunner(other, stages.model(call), OpenInPool(pool), clocks).run(keys)
        finally:
            stages.close()
        return other


def new_spec(**fields: Any) -> JobSpec:
    """A job of the default tenant."""
    job_id = new_job_id(datetime.now(UTC), secrets.token_bytes(RANDOM_BYTES))
    return JobSpec("default", job_id, "noise.wav", **fields)


def check_same(one: JobStore, other: JobStore, keys: JobKeys) -> None:
    """All forms of the result are the same bytes, but for what it cost."""
    assert said(one, keys) == said(other, keys)


def said(jobs: JobStore, keys: JobKeys) -> dict[str, bytes]:
    """All forms of the result of a job, without its name and what it cost."""
    forms = {form: jobs.result(keys, 1, form) or b"" for form in FORMS}
    plain = json.loads(jobs.result(keys, 1) or b"{}")
    plain["usage"].pop("seconds")
    for name in ("name", "attempts"):
        plain.pop(name, None)
    return {**forms, "json": json.dumps(plain).encode()}


def _storage(environment: Mapping[str, str]) -> StorageSettings:
    prefix = "EUREKA_STORAGE__"
    given = {
        name.removeprefix(prefix).lower(): value for name, value in environment.items() if prefix in name
    }
    return StorageSettings.model_validate(given)
