"""What workers show of jobs: what is left while there is something, what ended, and by whom it is shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from eureka.clients.task_queue import burst_lane
from eureka.storage.keys import JobKeys
from eureka.types import TextRequest
from tests.helpers.job_rig import NOW, JobRig, WatchedStore, tone_model
from tests.helpers.redis_server import running_redis
from tests.helpers.sounds import wav_of
from tests.helpers.tokenizers import small_nano_tokenizer
from tests.helpers.tone_model import WORDS, say
from tests.helpers.worker_rig import WorkerRig

AUDIO = wav_of(say([WORDS[number % 10] for number in range(28)]))
"""20 s."""

MakeWorker = Callable[..., WorkerRig]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with running_redis(tmp_path_factory.mktemp("redis")) as address:
        host, _, port = address.rpartition(":")
        client = Redis(host, int(port))
        yield client
        client.close()


@pytest.fixture
def rig(tmp_path: Path) -> JobRig:
    return JobRig(WatchedStore(tmp_path / "store"), tone_model(small_nano_tokenizer(tmp_path), nothing))


@pytest.fixture
def worker(rig: JobRig, redis: Redis) -> Iterator[MakeWorker]:
    redis.flushall()
    made: list[WorkerRig] = []

    def make(**settings: object) -> WorkerRig:
        made.append(WorkerRig(rig, redis, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def nothing(request: TextRequest, number: int) -> None:
    return None


def shown(worker: WorkerRig, name: str, **labels: str) -> float | None:
    return worker.registry.get_sample_value(name, {"component": "worker", **labels})


def do_next(worker: WorkerRig) -> None:
    task, arguments = worker.queue.messages.pop(0)
    getattr(worker.steps, task)(*arguments)


def test_backlog_of_a_lane_shrinks_to_nothing_and_the_end_is_counted(rig: JobRig, worker: MakeWorker) -> None:
    one = worker()
    sweeper, read = one.sweeper(), functools.partial(shown, one)
    rig.create(AUDIO)
    one.now = NOW + timedelta(seconds=90)

    sweeper.sweep()
    assert read("eureka_jobs_unfinished", lane="default", state="PENDING") == 1
    assert read("eureka_queued_audio_seconds", lane="default") == 0  # nobody knows yet

    do_next(one)  # plan
    sweeper.sweep()
    assert read("eureka_jobs_unfinished", lane="default", state="PENDING") == 0
    assert read("eureka_jobs_unfinished", lane="default", state="RUNNING") == 1
    all_seconds = read("eureka_queued_audio_seconds", lane="default") or 0
    assert all_seconds > 15.0
    assert read("eureka_queued_audio_seconds", lane="bulk") == 0

    do_next(one)  # a window
    sweeper.sweep()
    assert 0 < (read("eureka_queued_audio_seconds", lane="default") or 0) < all_seconds
    assert (read("eureka_oldest_job_seconds", lane="default") or 0) > 0

    one.work()
    sweeper.sweep()
    assert read("eureka_queued_audio_seconds", lane="default") == 0
    assert read("eureka_jobs_unfinished", lane="default", state="RUNNING") == 0
    assert read("eureka_jobs_total", state="SUCCEEDED") == 1
    assert read("eureka_job_duration_seconds_count", lane="default") == 1
    assert (read("eureka_windows_total", ending="STOP") or 0) >= 2
    assert (read("eureka_sweep_duration_seconds_count") or 0) == 4


def test_job_that_cannot_be_planned_is_counted_as_failed(rig: JobRig, worker: MakeWorker) -> None:
    one = worker()
    keys = rig.create(b"no audio at all")
    one.queue.enqueue_plan(keys.tenant, keys.job_id, "default")
    one.work()
    assert shown(one, "eureka_jobs_total", state="FAILED") == 1


def test_repeated_finish_counts_a_job_once(rig: JobRig, worker: MakeWorker) -> None:
    one = worker()
    keys = rig.create(AUDIO)
    one.queue.enqueue_plan(keys.tenant, keys.job_id, "default")
    one.work()
    one.steps.finish(keys)
    assert shown(one, "eureka_jobs_total", state="SUCCEEDED") == 1


def test_only_the_worker_that_sweeps_shows_what_is_left(rig: JobRig, worker: MakeWorker) -> None:
    first, second = worker(), worker()
    rig.create(AUDIO)
    holder, other = first.sweeper(), second.sweeper()
    holder.sweep()
    other.sweep()
    assert shown(first, "eureka_jobs_unfinished", lane="default", state="PENDING") == 1
    assert shown(second, "eureka_jobs_unfinished", lane="default", state="PENDING") is None

    holder.close()
    other.sweep()
    holder.sweep()
    assert shown(first, "eureka_jobs_unfinished", lane="default", state="PENDING") is None
    assert shown(second, "eureka_jobs_unfinished", lane="default", state="PENDING") == 1


def test_batch_with_workers_of_its_own_is_no_load_of_its_lane(rig: JobRig, worker: MakeWorker) -> None:
    one = worker()
    backlog = one.parts.backlog
    backlog.note(rig.create(AUDIO), "default", None)
    backlog.note(rig.create(AUDIO, 1), burst_lane("012345678901-0123456789abcdef"), None)
    lanes = backlog.lanes(NOW.timestamp())
    assert lanes["default"].num_pending == lanes["burst"].num_pending == 1


def test_deleted_job_leaves_the_backlog(rig: JobRig, worker: MakeWorker) -> None:
    one = worker()
    sweeper = one.sweeper()
    keys: JobKeys = rig.create(AUDIO)
    sweeper.sweep()
    rig.store.put(keys.delete, b"{}")
    sweeper.sweep()
    assert shown(one, "eureka_jobs_unfinished", lane="default", state="PENDING") == 0
