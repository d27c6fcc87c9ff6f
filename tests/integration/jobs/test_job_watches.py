"""Many who watch one job by a real gateway: all are told everything, and the store is asked as for one."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from eureka.clients.gateway_job_types import JobState, JobUpdate
from eureka.errors import QueueFullError
from services.gateway.jobs.service import JobLimits
from tests.helpers.job_gateway import CountedStore, Faults, JobGateway, ended, job_gateway, put
from tests.helpers.job_rig import tone_model
from tests.helpers.tokenizers import small_nano_tokenizer

LOOK_SECONDS = 0.1
NUM_WATCHES = 12


class KeyedStore(CountedStore):
    """Counts reads by key, too."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.read: Counter[str] = Counter()

    def get(self, key: str) -> bytes:
        self.read[key] += 1
        content: bytes = self.inner.get(key)
        return content


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def served(tmp_path: Path, faults: Faults) -> Iterator[JobGateway]:
    tokenizer = small_nano_tokenizer(tmp_path)
    with job_gateway(
        tmp_path,
        lambda: tone_model(tokenizer, faults),
        KeyedStore,
        LOOK_SECONDS,
        limits=JobLimits(max_watches=NUM_WATCHES),
    ) as gateway:
        yield gateway


def watched(served: JobGateway, name: str, all_watch: threading.Barrier) -> list[JobUpdate]:
    """All updates; the barrier falls when each has had its first."""
    with served.client() as client, client.watch_job(name, timeout_seconds=60) as updates:
        first = next(updates)
        all_watch.wait(30)
        return [first, *updates]


def test_many_watches_of_one_job_look_as_often_as_one(served: JobGateway) -> None:
    all_watch = threading.Barrier(NUM_WATCHES + 1)
    with served.client() as client, ThreadPoolExecutor(NUM_WATCHES) as threads:
        with served.queue.held():
            job = client.create_job(put(served, "crowd/a.wav"))
            crowd = [threads.submit(watched, served, job.name, all_watch) for _ in range(NUM_WATCHES)]
            all_watch.wait(30)
            with pytest.raises(QueueFullError) as caught:  # by the setting, not by chance
                list(client.watch_job(job.name))
            assert caught.value.reason == "TOO_MANY_WATCHES"
            served.objects.calls.clear()
            started = time.monotonic()
            time.sleep(10 * LOOK_SECONDS)
            num_looks = served.objects.calls["list_objects"]  # one for each look at a job that waits
            assert 1 <= num_looks <= (time.monotonic() - started) / LOOK_SECONDS + 1
        told = [watch.result(60) for watch in crowd]
    windows = set(range(told[0][-1].job.num_windows))
    assert len(windows) >= 3
    for updates in told:
        assert updates[-1].job.state is JobState.SUCCEEDED
        segments = [each for update in updates for each in update.segments]
        places = [(each.task, each.window, each.segment.start_seconds) for each in segments]
        assert {each.window for each in segments} == windows and len(places) == len(set(places))
    reads = {key: number for key, number in served.objects.read.items() if "/windows/" in key}
    # Once for all who watch, once for the result; who merges and who looks do so in one process here.
    assert len(reads) == len(windows) and max(reads.values()) <= 2


def test_watch_begun_after_a_retry_does_not_end_by_what_others_saw_before(
    served: JobGateway, faults: Faults
) -> None:
    with served.client() as client:
        faults.is_on = True
        partial = ended(client, client.create_job(put(served, "again/a.wav")))
        faults.is_on = False
        assert partial.state is JobState.PARTIAL
        with served.queue.held():
            client.retry_job(partial.name)
            with client.watch_job(partial.name) as updates:
                assert not next(updates).job.state.is_final
                served.queue.release()
                assert list(updates)[-1].job.state is JobState.SUCCEEDED
