"""Seconds of the first page of ListJobs with many jobs stored: `python -m tests.helpers.many_jobs [--s3]`.

Jobs are made in the store itself, as they lie there after CreateJob; a page is that of `JobLister` in this
process. The first page reads what nobody has seen yet, the same page again finds most of it remembered.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from eureka.jobs.batch import new_single_id
from eureka.jobs.job_store import JobStore
from eureka.jobs.spec import JobSpec
from eureka.storage.local import LocalObjectStore
from eureka.storage.s3 import S3ObjectStore
from eureka.storage.s3_bucket import prepare_bucket
from eureka.storage.s3_client import S3Config
from eureka.storage.store import ObjectStore
from services.gateway.jobs.listing import JobLister
from services.gateway.jobs.reading import JobReader
from services.gateway.jobs.requests import DEFAULT_PAGE, ListQuery
from services.gateway.jobs.service import NUM_READERS
from tests.helpers.radosgw import shared_radosgw

TENANT = "many"
START = datetime(2026, 1, 1, tzinfo=UTC)


def make_jobs(objects: ObjectStore, number: int) -> None:
    """So many jobs, a second apart."""

    def make(index: int) -> None:
        job_id = new_single_id(START + timedelta(seconds=index), index.to_bytes(8, "big"))
        assert JobStore(objects).create(JobSpec(TENANT, job_id, "a.wav", source_key=f"{TENANT}/a.wav"))

    with ThreadPoolExecutor(NUM_READERS) as threads:
        list(threads.map(make, range(number)))


def page_seconds(objects: ObjectStore) -> tuple[float, float]:
    """Seconds of the first page by a process that knows nothing, and of the same page again."""
    with ThreadPoolExecutor(NUM_READERS) as threads:
        lister, taken = JobLister(JobReader(JobStore(objects), threads)), []
        for _ in range(2):
            started = time.perf_counter()
            jobs, token = lister.page(TENANT, ListQuery(DEFAULT_PAGE, "", ""))
            taken.append(time.perf_counter() - started)
            assert len(jobs) == DEFAULT_PAGE and token
    return taken[0], taken[1]


@contextmanager
def _store(is_s3: bool) -> Iterator[ObjectStore]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        if not is_s3:
            yield LocalObjectStore(Path(folder))
            return
        with shared_radosgw(Path(folder) / "s3") as server:
            config = S3Config(server.endpoint, "many-jobs", server.access_key, server.secret_key)
            prepare_bucket(config, creates=True)
            yield S3ObjectStore(config)


def main() -> None:
    """Print medians of five."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--s3", action="store_true", help="radosgw on this machine instead of a folder")
    parser.add_argument("--jobs", type=int, default=10_000)
    arguments = parser.parse_args()
    with _store(arguments.s3) as objects:
        make_jobs(objects, arguments.jobs)
        first, again = zip(*(page_seconds(objects) for _ in range(5)), strict=True)
    print(f"first page {statistics.median(first):.3f} s, again {statistics.median(again):.3f} s")


if __name__ == "__main__":
    main()
