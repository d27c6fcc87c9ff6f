"""The first page of ListJobs with many jobs stored, in a local folder and in a bucket of a real S3 server."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from eureka.errors import InvalidAudioError
from eureka.jobs.job_store import JobStore
from eureka.jobs.merge import Merger
from eureka.jobs.spec import JobSpec
from eureka.runtime.settings_sections import StorageSettings
from eureka.runtime.storage import open_store
from eureka.storage.keys import RANDOM_BYTES, new_job_id
from eureka.storage.local import LocalObjectStore
from eureka.storage.store import ObjectStore
from pace.figures import Row, Skipped, Value, middle
from services.gateway.jobs.listing import JobLister
from services.gateway.jobs.reading import JobReader
from services.gateway.jobs.requests import ListQuery

TENANT = "bench"
PAGE_SIZE = 50
NUM_READERS = 16
"""As the gateway's."""

MAX_PAGE_SECONDS = 0.5
MEMORY_FOLDER = Path("/dev/shm")


def rows_of_lists(num_jobs: int, num_rounds: int) -> list[Row]:
    """First pages over both stores."""
    with _local_store() as objects:
        rows = _rows("local", objects, num_jobs, num_rounds)
    with _s3_store() as bucket:
        if bucket is None:
            reason = "no S3 server: set S3_TEST_ENDPOINT, or install radosgw, ceph-mon and ceph-osd (Debian)"
            return [*rows, Row("J1_list_s3", Skipped(reason))]
        return rows + _rows("s3", bucket, num_jobs, num_rounds)


def _rows(store: str, objects: ObjectStore, num_jobs: int, num_rounds: int) -> list[Row]:
    _fill(JobStore(objects), num_jobs)
    first, again = zip(*(_pages(objects) for _ in range(num_rounds)), strict=True)
    note = (
        f"first page of {PAGE_SIZE} of {num_jobs:,} jobs, {store} store, by a gateway that knows none of them"
    )
    found = middle(first, "s", limit=MAX_PAGE_SECONDS)
    seen = middle(again, "s")
    return [
        Row(f"J1_list_{store}", Value(found.value, "s", MAX_PAGE_SECONDS, found.spread), note),
        Row(f"J1_list_{store}_again", seen, "the same page once more", is_goal=False),
    ]


def _fill(jobs: JobStore, num_jobs: int) -> None:
    """Jobs a second apart; every second one has ended, the others have not begun."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    merger = Merger(jobs, lambda: start)
    error = InvalidAudioError("not audio", reason="NOT_AUDIO")

    def make(number: int) -> None:
        job_id = new_job_id(start + timedelta(seconds=number), number.to_bytes(RANDOM_BYTES, "big"))
        spec = JobSpec(TENANT, job_id, "recording.wav", labels={"number": str(number % 10)})
        jobs.create(spec)
        if number % 2:
            merger.fail(spec.keys, error)

    with ThreadPoolExecutor(NUM_READERS) as threads:
        list(threads.map(make, range(num_jobs)))


def _pages(objects: ObjectStore) -> tuple[float, float]:
    """Seconds of the first page by a new lister, and of the same page again."""
    with ThreadPoolExecutor(NUM_READERS) as threads:
        lister = JobLister(JobReader(JobStore(objects), threads))
        return _page_seconds(lister), _page_seconds(lister)


def _page_seconds(lister: JobLister) -> float:
    started = time.perf_counter()
    found, token = lister.page(TENANT, ListQuery(PAGE_SIZE, "", ""))
    spent = time.perf_counter() - started
    if len(found) != PAGE_SIZE or not token:
        raise RuntimeError(f"a page of {len(found)} jobs")
    return spent


@contextmanager
def _local_store() -> Iterator[ObjectStore]:
    """In memory where the machine has such a folder: what is measured is the listing, not a disk."""
    parent = MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="eureka-bench-", dir=parent) as folder:
        yield LocalObjectStore(Path(folder))


@contextmanager
def _s3_store() -> Iterator[ObjectStore | None]:
    """A bucket of S3_TEST_ENDPOINT, or of a radosgw that is started for it; None where neither is there."""
    from tests.helpers.radosgw import S3Server, shared_radosgw  # of the checkout, see jobs.py

    with ExitStack() as opened:
        if endpoint := os.environ.get("S3_TEST_ENDPOINT"):
            keys = os.environ["S3_TEST_ACCESS_KEY"], os.environ["S3_TEST_SECRET_KEY"]
            server = S3Server(endpoint, *keys)
        else:
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="eureka-bench-"))
            try:
                server = opened.enter_context(shared_radosgw(Path(folder) / "s3"))
            except FileNotFoundError:
                yield None
                return
        yield open_store(
            StorageSettings(
                kind="s3",
                endpoint=server.endpoint,
                bucket=f"bench-{time.time_ns()}",
                access_key=server.access_key,
                secret_key=server.secret_key,  # type: ignore[arg-type]  # pydantic reads it
                create_bucket=True,
            )
        )
