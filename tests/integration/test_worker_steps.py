"""What workers and their sweeper do, over a real Redis: jobs end, whatever the queue and Redis lose."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from eureka.clients.work_record import RedisClaims
from eureka.errors import StageUnavailableError
from eureka.jobs.job_store import WindowRef
from eureka.jobs.spec import Lane
from eureka.jobs.sweep import MAX_CLAIMS
from eureka.storage.keys import JobKeys
from eureka.types import Ending, Priority, TextRequest
from tests.helpers.job_rig import NOW, JobRig, WatchedStore, result_of, tone_model
from tests.helpers.redis_server import running_redis
from tests.helpers.sounds import wav_of
from tests.helpers.tokenizers import small_nano_tokenizer
from tests.helpers.tone_model import WORDS, Fault, say
from tests.helpers.webhook_receiver import SECRET, WebhookReceiver
from tests.helpers.worker_rig import PREFIX, WorkerRig
from workers.events import WebhookState, delivery_key, read_delivery
from workers.main import node_name
from workers.steps import LISTED_WINDOWS

AUDIO = wav_of(say([WORDS[number % 10] for number in range(56)]))
"""40 s, six windows."""


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


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return small_nano_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def nothing(request: TextRequest, number: int) -> None:
    return None


class Workers:
    """Makes rigs over one store, and closes them."""

    def __init__(self, folder: Path, redis: Redis, tokenizer: Any) -> None:
        self.redis = redis
        self._tokenizer = tokenizer
        self.rig = self.job_rig(folder / "store")
        self._made: list[WorkerRig] = []

    def job_rig(self, folder: Path, fault: Fault = nothing) -> JobRig:
        return JobRig(WatchedStore(folder), tone_model(self._tokenizer, fault))

    def worker(self, fault: Fault = nothing, **settings: Any) -> WorkerRig:
        rig = JobRig(self.rig.store, tone_model(self._tokenizer, fault))
        self._made.append(WorkerRig(rig, self.redis, **settings))
        return self._made[-1]

    def close(self) -> None:
        for worker in self._made:
            worker.close()


@pytest.fixture
def workers(tmp_path: Path, redis: Redis, tokenizer: Any) -> Iterator[Workers]:
    made = Workers(tmp_path, redis, tokenizer)
    yield made
    made.close()


def documents(rig: JobRig, keys: JobKeys) -> dict[str, bytes]:
    return {info.key: rig.store.get(info.key) for info in rig.store.list_objects(keys.rounds_folder).objects}


def undisturbed(workers: Workers, tmp_path: Path, **fields: Any) -> dict[str, bytes]:
    rig = workers.job_rig(tmp_path / "other")
    keys = rig.create(AUDIO, **fields)
    assert rig.run(keys) == "SUCCEEDED"
    return documents(rig, keys)


def test_messages_alone_bring_a_long_job_to_its_end(workers: Workers) -> None:
    audio = wav_of(say([WORDS[number % 10] for number in range(220)]))
    worker, keys = workers.worker(), workers.rig.create(audio, max_window_seconds=1.0)
    worker.queue.enqueue_plan(keys.tenant, keys.job_id, "default")
    done = worker.work()
    assert done.count("window") > LISTED_WINDOWS and done[-1] == "finish"
    assert result_of(workers.rig, keys)["state"] == "SUCCEEDED"
    assert set(workers.rig.store.wins.values()) == {1}


def test_messages_alone_bring_a_job_to_its_end_with_the_bytes_of_the_local_runner(
    workers: Workers, tmp_path: Path
) -> None:
    worker, keys = workers.worker(), workers.rig.create(AUDIO)
    worker.queue.enqueue_plan(keys.tenant, keys.job_id, "default")
    done = worker.work()
    assert done[0] == "plan" and done[-1] == "finish" and done.count("window") >= 5
    assert documents(workers.rig, keys) == undisturbed(workers, tmp_path)
    assert not worker.redis.keys(f"{PREFIX}claim:*") and not worker.redis.keys(f"{PREFIX}claims:*")


def test_lost_messages_and_flushed_redis_cost_time_only(workers: Workers, tmp_path: Path) -> None:
    worker, rng = workers.worker(), random.Random(4)
    sweeper = worker.sweeper()
    jobs = [workers.rig.create(AUDIO, number) for number in range(3)]
    for number in range(200):
        sweeper.sweep()
        worker.work(lost=0.5, seed=number)
        if rng.random() < 0.7:
            workers.redis.flushall()
        if all(workers.rig.store.exists(keys.result(1)) for keys in jobs):
            break
    assert documents(workers.rig, jobs[0]) == undisturbed(workers, tmp_path)
    assert set(workers.rig.store.wins.values()) == {1}


def test_two_sweepers_whose_lock_is_lost_and_two_workers_write_each_document_once(workers: Workers) -> None:
    keys = [workers.rig.create(AUDIO, number) for number in range(2)]
    rigs = [workers.worker(), workers.worker()]

    def run(rig: WorkerRig) -> None:
        sweeper = rig.sweeper()
        for number in range(60):
            workers.redis.delete(f"{PREFIX}sweeper")
            sweeper.sweep()
            rig.work(seed=number)
            if all(workers.rig.store.exists(one.result(1)) for one in keys):
                return

    threads = [threading.Thread(target=run, args=(rig,)) for rig in rigs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for one in keys:
        assert result_of(workers.rig, one)["state"] == "SUCCEEDED"
    assert max(workers.rig.store.wins.values()) == 1


def test_second_sweeper_leaves_the_work_to_the_first(workers: Workers) -> None:
    workers.rig.create(AUDIO)
    one, other = workers.worker().sweeper(), workers.worker().sweeper()
    assert one.sweep() == 1 and other.sweep() == 0
    one.close()
    assert other.sweep() == 1


def test_what_is_queued_or_claimed_is_not_queued_again(workers: Workers) -> None:
    worker, keys = workers.worker(), workers.rig.create(AUDIO)
    sweeper = worker.sweeper()
    sweeper.sweep()
    sweeper.sweep()
    assert [task for task, _ in worker.queue.messages] == ["plan"]
    task, arguments = worker.queue.messages.pop()
    getattr(worker.steps, task)(*arguments)
    windows = [arguments for task, arguments in worker.queue.messages if task == "window"]
    sweeper.sweep()
    assert len(worker.queue.messages) == len(windows) == len({ref for (ref,) in windows})
    worker.queue.messages.clear()
    worker.parts.marks.clear(windows[0][0].key)
    claim = worker.claims.claim(windows[0][0].key)
    assert claim is not None
    sweeper.sweep()
    assert worker.queue.messages == []
    claim.release()
    sweeper.sweep()
    assert worker.queue.messages == [("window", windows[0])]
    assert keys == windows[0][0].keys


def test_lane_reaches_the_engine_as_the_priority_of_each_request(workers: Workers) -> None:
    expected = {"interactive": Priority.DEFAULT, "bulk": Priority.BULK}
    for number, (lane, priority) in enumerate(expected.items()):
        seen: list[Priority] = []

        def note(request: TextRequest, _: int, seen: list[Priority] = seen) -> None:
            seen.append(request.priority)

        worker, keys = workers.worker(note), workers.rig.create(AUDIO, number, lane=Lane(lane))
        worker.steps.plan(keys)
        worker.work()
        assert set(seen) == {priority}


def test_few_windows_of_a_job_wait_at_a_time(workers: Workers) -> None:
    worker, keys = workers.worker(max_queued_windows=2), workers.rig.create(AUDIO)
    worker.steps.plan(keys)
    assert len(worker.queue.messages) == 2
    worker.work()
    assert result_of(workers.rig, keys)["state"] == "SUCCEEDED"


def test_window_that_ended_many_workers_is_given_up(workers: Workers, redis: Redis) -> None:
    worker, keys = workers.worker(), workers.rig.create(AUDIO)
    worker.steps.plan(keys)
    ref = WindowRef(keys, 1, 1)
    for _ in range(MAX_CLAIMS):
        dying = RedisClaims(redis, PREFIX, live_seconds=0.001)
        dying.close()  # no heartbeat: its holder was killed
        assert dying.claim(ref.key) is not None
        threading.Event().wait(0.01)
    worker.work()
    result = result_of(workers.rig, keys)
    assert result["state"] == "PARTIAL"
    assert [row["ending"] for row in result["coverage"]].count("ERROR") == 1


def test_window_that_fails_ends_only_when_all_parts_are_there(workers: Workers) -> None:
    heard: list[int] = []

    def fault(request: TextRequest, number: int) -> tuple[list[str], Ending] | None:
        heard.append(number)
        if len(request.audio_embeddings) < 60:  # the last window
            raise StageUnavailableError("gone", reason="MODEL_GONE")
        return None

    worker, keys = workers.worker(fault, max_failures=3), workers.rig.create(AUDIO)
    sweeper = worker.sweeper()
    worker.stages.is_there = False
    for _ in range(8):
        sweep_without_pauses(workers, worker, sweeper)
    assert not workers.rig.store.exists(keys.result(1))
    worker.stages.is_there = True
    for _ in range(4):
        sweep_without_pauses(workers, worker, sweeper)
    result = result_of(workers.rig, keys)
    assert result["state"] == "PARTIAL" and "MODEL_GONE" in json.dumps(result["reasons"])


def sweep_without_pauses(workers: Workers, worker: WorkerRig, sweeper: Any) -> None:
    for key in workers.redis.keys(f"{PREFIX}queued:*"):
        workers.redis.delete(key)
    sweeper.sweep()
    worker.work()


def test_deadline_ends_a_job_that_nobody_hears(workers: Workers) -> None:
    worker = workers.worker()
    keys = workers.rig.create(AUDIO, deadline_time=NOW + timedelta(seconds=10))
    worker.steps.plan(keys)
    worker.queue.messages.clear()
    worker.now = NOW + timedelta(seconds=11)
    worker.sweeper().sweep()
    worker.work()
    endings = {row["ending"] for row in result_of(workers.rig, keys)["coverage"]}
    assert endings == {"DEADLINE"}


def test_bad_audio_fails_its_job_only(workers: Workers) -> None:
    worker, keys = workers.worker(), workers.rig.create(b"no audio at all")
    worker.sweeper().sweep()
    worker.work()
    assert result_of(workers.rig, keys)["state"] == "FAILED"


def test_ended_job_is_removed_after_its_retention_and_not_before(workers: Workers) -> None:
    worker, keys = workers.worker(), workers.rig.create(AUDIO, retention_seconds=3_600.0)
    sweeper = worker.sweeper()
    sweeper.sweep()
    worker.work()
    ended = workers.rig.store.stat(keys.result(1)).modified_time
    for seconds, is_there in ((3_500, True), (3_700, False)):
        worker.now = ended + timedelta(seconds=seconds)
        time.sleep(0.03)  # it rests as an ended job does
        assert sweeper.sweep() == 1
        assert workers.rig.store.exists(keys.spec) is is_there
    assert not workers.rig.store.list_objects(keys.folder).objects


def test_deletion_that_was_begun_is_finished_and_a_young_folder_is_left(workers: Workers) -> None:
    worker = workers.worker()
    deleted, young = workers.rig.create(AUDIO), JobKeys("tests", workers.rig.create(AUDIO, 1).job_id)
    workers.rig.store.put(deleted.delete, b'{"version":1}\n')
    workers.rig.store.delete(young.spec)  # its audio is being sent
    sweeper = worker.sweeper()
    sweeper.sweep()
    worker.work()
    assert not workers.rig.store.list_objects(deleted.folder).objects
    assert workers.rig.store.exists(young.audio)
    worker.now = NOW + timedelta(days=2)
    sweeper.sweep()
    worker.work()
    assert not workers.rig.store.list_objects(young.folder).objects


def test_webhook_is_tried_again_with_growing_pauses_until_it_is_answered(workers: Workers) -> None:
    worker = workers.worker(webhook_secret=SECRET, private_webhooks=True)
    with WebhookReceiver(statuses=[500, 302]) as receiver:
        keys = workers.rig.create(AUDIO, webhook=receiver.url)
        worker.sweeper().sweep()
        worker.work()
        assert len(receiver.deliveries) == 1
        for seconds, number in ((4, 1), (6, 2), (14, 2), (17, 3), (60, 3)):
            worker.now = NOW + timedelta(seconds=seconds)
            workers.redis.flushall()
            worker.sweeper().sweep()
            worker.work()
            assert len(receiver.deliveries) == number, seconds
    assert len({one.headers["webhook-id"] for one in receiver.deliveries}) == 1
    assert all(one.is_signed for one in receiver.deliveries)
    assert read_delivery(workers.rig.store, keys, 1).state is WebhookState.DELIVERED


def test_webhook_to_a_private_address_is_given_up_at_once(workers: Workers) -> None:
    worker = workers.worker(webhook_secret=SECRET)
    with WebhookReceiver() as receiver:
        keys = workers.rig.create(AUDIO, webhook=receiver.url)
        worker.sweeper().sweep()
        worker.work()
        assert receiver.deliveries == []
    assert read_delivery(workers.rig.store, keys, 1).state is WebhookState.GIVEN_UP
    assert workers.rig.store.exists(delivery_key(keys, 1))


def test_node_name_is_that_of_the_setting() -> None:
    assert node_name("worker").startswith("worker@")
