"""Claims, marks and the lock in a real Redis, and without one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eureka.clients.task_queue import CeleryTaskQueue, QueueConfig, WorkerPing
from eureka.clients.work_record import Lease, QueuedMarks, RedisClaims, connect
from eureka.errors import StageUnavailableError
from tests.helpers.redis_server import running_redis


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueueConfig]:
    with running_redis(tmp_path_factory.mktemp("redis")) as address:
        yield QueueConfig(f"redis://{address}/0")


@pytest.fixture
def two_claims(config: QueueConfig) -> Iterator[tuple[RedisClaims, RedisClaims]]:
    redis = connect(config)
    redis.flushall()
    made = RedisClaims(redis, "t:", 0.3), RedisClaims(redis, "t:", 0.3)
    yield made
    for one in made:
        one.close()
    redis.close()


def test_one_holds_a_claim_and_keeps_it_alive(two_claims: tuple[RedisClaims, RedisClaims]) -> None:
    one, other = two_claims
    claim = one.claim("window")
    assert claim is not None and other.is_live("window")
    time.sleep(0.6)  # two lives: the heartbeat runs
    assert other.claim("window") is None
    claim.release()
    assert not other.is_live("window") and other.num_claims("window") == 0


def test_claim_of_a_killed_worker_dies_and_is_counted(two_claims: tuple[RedisClaims, RedisClaims]) -> None:
    one, other = two_claims
    assert one.claim("window") is not None
    one.close()
    time.sleep(0.4)
    second = other.claim("window")
    assert second is not None and second.number == 2


def test_fence_keeps_hands_off_a_claim_of_somebody_else(
    two_claims: tuple[RedisClaims, RedisClaims], config: QueueConfig
) -> None:
    one, other = two_claims
    first = one.claim("window")
    assert first is not None
    connect(config).flushall()
    second = other.claim("window")
    assert second is not None
    first.beat()
    first.release()
    assert other.is_live("window")


def test_flushed_claim_is_made_again_by_its_heartbeat(
    two_claims: tuple[RedisClaims, RedisClaims], config: QueueConfig
) -> None:
    one, other = two_claims
    assert one.claim("window") is not None
    connect(config).flushall()
    time.sleep(0.2)
    assert other.claim("window") is None


def test_lease_is_taken_renewed_lost_and_left(config: QueueConfig) -> None:
    redis = connect(config)
    one, other = Lease(redis, "t:lease", 0.2), Lease(redis, "t:lease", 0.2)
    assert one.take() and one.take() and not other.take()
    time.sleep(0.3)
    assert other.take() and not one.take()
    one.release()
    assert not one.take()
    other.release()
    assert one.take()
    redis.close()


def test_marks_come_before_messages_and_go_where_sending_fails(config: QueueConfig) -> None:
    redis = connect(config)
    marks = QueuedMarks(redis, "t:", 0.2)
    with marks.marking("a"):
        assert marks.marked(["a", "b"]) == {"a"}
    with pytest.raises(StageUnavailableError), marks.marking("b"):
        raise StageUnavailableError("the queue is away")
    assert marks.marked(["a", "b"]) == {"a"}
    time.sleep(0.3)
    assert not marks.marked(["a"]) and marks.marked([]) == frozenset()
    assert [marks.count("a"), marks.count("a")] == [1, 2]
    redis.close()


def test_messages_hold_ids_only_and_survive_a_flush_of_the_bindings(config: QueueConfig) -> None:
    redis = connect(config)
    queue = CeleryTaskQueue(config)
    for _ in range(2):
        redis.flushall()
        queue.enqueue_window("acme", "0" * 12 + "-" + "0" * 16, 1, 7, "bulk")
        assert redis.llen("eureka:3-bulk") == 1
    message = redis.lindex("eureka:3-bulk", 0)
    assert len(message) < 1_500
    assert QueuedMarks(redis, config.key_prefix).num_waiting("bulk") == 1
    queue.close()
    redis.close()


def test_without_redis_everybody_may_do_everything_and_nobody_sweeps(tmp_path: Path) -> None:
    away = QueueConfig("redis://127.0.0.1:1/0")
    redis = connect(away)
    claims, marks = RedisClaims(redis, "t:"), QueuedMarks(redis, "t:")
    claim = claims.claim("window")
    assert claim is not None and claim.number == 1
    claim.beat()
    claim.release()
    assert not claims.is_live("window") and claims.num_claims("window") == 0
    marks.mark("a")
    assert marks.marked(["a"]) == frozenset() and marks.num_waiting("bulk") == 0 and marks.count("a") == 1
    assert not Lease(redis, "t:lease", 1.0).take()
    claims.close()
    queue, ping = CeleryTaskQueue(away), WorkerPing(away)
    with pytest.raises(StageUnavailableError) as caught:
        queue.enqueue_plan("acme", "id", "default")
    assert caught.value.reason == "QUEUE_UNAVAILABLE"
    assert not ping.answers("worker@nowhere", 0.2)
    queue.close()
    ping.close()
