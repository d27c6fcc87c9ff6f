"""Which queue the work of a batch goes to, by a real Redis: its own while it has workers, else all."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from eureka.clients.task_queue import OneLaneQueue, QueueConfig, burst_lane, queue_of
from eureka.clients.work_record import BurstMarks
from eureka.errors import InvalidInputError
from eureka.jobs.batch import child_id
from eureka.jobs.spec import JobSpec, Lane
from eureka.jobs.states import JobState
from eureka.storage.keys import JobKeys
from tests.helpers.job_rig import JobRig, WatchedStore, tone_model
from tests.helpers.redis_server import running_redis
from tests.helpers.tokenizers import small_nano_tokenizer
from tests.helpers.worker_rig import PREFIX, WorkerRig
from workers.advance import lane_of
from workers.batch_work import BatchLife

BATCH = "0b1c2d3e4f50-01020304ffffffff"
CHILD = JobKeys("acme", child_id(BATCH, 0))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def redis(address: str) -> Iterator[Redis]:
    host, _, port = address.rpartition(":")
    client = Redis(host, int(port))
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def worker(tmp_path: Path, redis: Redis) -> Iterator[WorkerRig]:
    model = tone_model(small_nano_tokenizer(tmp_path), lambda *_: None)
    rig = JobRig(WatchedStore(tmp_path / "store"), model)
    worker = WorkerRig(rig, redis)
    worker.parts = dataclasses.replace(worker.parts, bursts=BurstMarks(redis, PREFIX))
    yield worker
    worker.close()


def _make(worker: WorkerRig, keys: JobKeys) -> None:
    spec = JobSpec(keys.tenant, keys.job_id, "a.wav", lane=Lane.BULK, source_key="acme/a.wav")
    assert worker.parts.jobs.create(spec)


def test_child_goes_to_the_lane_of_its_batch_while_that_has_workers(worker: WorkerRig, redis: Redis) -> None:
    _make(worker, CHILD)
    assert lane_of(worker.parts, CHILD) == "bulk"
    marks = BurstMarks(redis, PREFIX)
    marks.mark("acme", BATCH, 0.2)
    assert lane_of(worker.parts, CHILD) == burst_lane(BATCH)
    time.sleep(0.25)
    assert lane_of(worker.parts, CHILD) == "bulk", "a mark that nobody renews dies"
    marks.mark("acme", BATCH, 60)
    marks.clear("acme", BATCH)
    assert lane_of(worker.parts, CHILD) == "bulk"


def test_batches_of_other_tenants_and_single_jobs_are_not_concerned(worker: WorkerRig, redis: Redis) -> None:
    single = JobKeys("acme", "0b1c2d3e4f50-0102030401060708")
    for keys in (CHILD, single):
        _make(worker, keys)
    BurstMarks(redis, PREFIX).mark("other", BATCH, 60)
    assert [lane_of(worker.parts, keys) for keys in (CHILD, single)] == ["bulk", "bulk"]


def test_all_that_a_worker_of_a_burst_starts_goes_to_its_lane(address: str, redis: Redis) -> None:
    queue = OneLaneQueue(QueueConfig(f"redis://{address}/0", PREFIX), burst_lane(BATCH))
    queue.enqueue_plan("acme", CHILD.job_id, "bulk")
    queue.enqueue_window("acme", CHILD.job_id, 1, 0, "interactive")
    queue.enqueue_finish("acme", CHILD.job_id)
    queue.enqueue_webhook("acme", CHILD.job_id, 1)
    queue.close()
    assert redis.llen(f"{PREFIX}{queue_of(burst_lane(BATCH))}") == 4
    BurstMarks(redis, PREFIX).clear("acme", BATCH)
    assert redis.llen(f"{PREFIX}{queue_of(burst_lane(BATCH))}") == 0


@pytest.mark.parametrize("lane", ["burst.", "burst.x", f"burst.{BATCH}0", f"{BATCH}", f"burst.{BATCH}\n"])
def test_lane_that_names_no_batch_is_none(lane: str) -> None:
    with pytest.raises(InvalidInputError):
        queue_of(lane)


def test_life_ends_when_each_child_has_ended_or_is_gone(worker: WorkerRig) -> None:
    children = [JobKeys("acme", child_id(BATCH, number)) for number in range(3)]
    for keys in children[:2]:
        _make(worker, keys)
    told, ended = [], []
    life = BatchLife(
        children, worker.parts.jobs, lambda: told.append(1), lambda: ended.append(1), pause_seconds=0.01
    )
    life.start()
    for keys in children[:2]:
        time.sleep(0.1)
        assert not ended
        worker.parts.jobs.cancel(keys)
        worker.steps.finish(keys)
        assert worker.parts.jobs.result_head(keys, 1).state is JobState.CANCELLED
    deadline = time.monotonic() + 5
    while not ended:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    life.close()
    assert len(ended) == 1 and len(told) > 3
