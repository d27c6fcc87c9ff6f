"""Which batches get workers of their own, and what is left of it when the cluster says no."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from eureka.clients.cluster.bursts import BurstState, BurstStatus, burst_name
from eureka.clients.task_queue import burst_lane
from eureka.errors import PermissionDeniedError, StageUnavailableError
from eureka.jobs.batch import Batch, batch_key, new_batch_id
from eureka.jobs.spec import JobSpec
from eureka.storage.local import LocalObjectStore
from services.gateway.jobs.bursts import BurstPolicy, Bursts, WatchedCluster

BATCH_ID = new_batch_id(datetime(2026, 1, 2, tzinfo=UTC), b"12345678")


class Cluster:
    """Remembers what it is asked, and refuses where it is told to."""

    def __init__(self) -> None:
        self.made: dict[str, int] = {}
        self.error: Exception | None = None
        self.num_looks = 0

    def create(self, tenant: str, batch_id: str, num_children: int) -> str:
        if self.error:
            raise self.error
        self.made[batch_id] = num_children
        return burst_name(batch_id)

    def delete(self, batch_id: str) -> None:
        if self.error:
            raise self.error
        self.made.pop(batch_id, None)

    def find(self, batch_id: str) -> BurstStatus | None:
        self.num_looks += 1
        if self.error:
            raise self.error
        found = batch_id in self.made
        return BurstStatus(burst_name(batch_id), batch_id, BurstState.PENDING) if found else None

    def close(self) -> None:
        self.made.clear()


class Record:
    """Marks by batch."""

    def __init__(self) -> None:
        self.marks: dict[str, float] = {}

    def mark(self, tenant: str, batch_id: str, seconds: float) -> None:
        self.marks[f"{tenant}/{batch_id}"] = seconds

    def clear(self, tenant: str, batch_id: str) -> None:
        self.marks.pop(f"{tenant}/{batch_id}", None)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def bursts(cluster: Cluster, tmp_path: Path) -> Bursts:
    return Bursts(cluster, Record(), LocalObjectStore(tmp_path), BurstPolicy(10, 1_000, 60.0))


def _batch(num_files: int) -> Batch:
    names = tuple(f"{number}.wav" for number in range(num_files))
    return Batch(JobSpec("acme", BATCH_ID, "many"), tuple(f"acme/{name}" for name in names), names)


@pytest.mark.parametrize(("num_files", "num_bytes"), [(10, 1), (2, 1_000)])
def test_batch_of_many_files_or_bytes_gets_workers(bursts, cluster, num_files: int, num_bytes: int) -> None:
    assert bursts.begin(_batch(num_files), num_bytes) == burst_lane(BATCH_ID)
    assert cluster.made == {BATCH_ID: num_files}
    assert bursts.record.marks == {f"acme/{BATCH_ID}": 60.0}
    assert bursts.find("acme", BATCH_ID).state is BurstState.PENDING


def test_batch_below_both_is_heard_by_all(bursts, cluster) -> None:
    assert bursts.begin(_batch(9), 999) is None
    assert cluster.made == {} and bursts.record.marks == {}


def test_refusal_is_kept_beside_the_batch_until_it_is_deleted(bursts, cluster) -> None:
    cluster.error = PermissionDeniedError("no right", reason="CLUSTER_DENIED")
    assert bursts.begin(_batch(10), 1) is None
    assert bursts.record.marks == {}
    cluster.error = None
    found = bursts.find("acme", BATCH_ID)
    assert (found.state, found.reason, found.message) == (BurstState.FAILED, "CLUSTER_DENIED", "no right")
    folder = batch_key("acme", BATCH_ID).removesuffix("batch.json")
    assert [one.key for one in bursts.objects.list_objects(folder).objects] == [f"{folder}burst.json"]
    bursts.forget("acme", BATCH_ID)
    assert bursts.find("acme", BATCH_ID) is None


def test_cluster_that_is_away_stops_neither_a_look_nor_an_end(bursts, cluster) -> None:
    bursts.begin(_batch(10), 1)
    cluster.error = StageUnavailableError("away", reason="CLUSTER_UNAVAILABLE")
    assert bursts.find("acme", BATCH_ID) is None
    bursts.end("acme", BATCH_ID)
    assert bursts.record.marks == {}


def test_look_costs_no_request_where_the_watch_knows(cluster) -> None:
    known: dict[str, BurstStatus] = {}
    watched = WatchedCluster(cluster, known.get, lambda: None)
    watched.create("acme", BATCH_ID, 3)
    assert watched.find(BATCH_ID).state is BurstState.PENDING and cluster.num_looks == 1
    known[BATCH_ID] = BurstStatus(burst_name(BATCH_ID), BATCH_ID, BurstState.RUNNING)
    assert watched.find(BATCH_ID).state is BurstState.RUNNING and cluster.num_looks == 1
