"""Pages of jobs, newest first: ids come from a plain listing, and only the jobs of the page are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice

from eureka.errors import InvalidInputError
from eureka.jobs.batch import batch_key, batches_folder, last_child_id, parent_id
from eureka.storage.keys import RANDOM_BYTES, created_time, jobs_folder, new_job_id
from eureka.storage.store import ObjectStore
from services.gateway.jobs.reading import JobReader, JobSnapshot
from services.gateway.jobs.requests import ListQuery

MAX_LOOKED = 1_000
"""Jobs that a page with a filter looks at."""

FOLDERS_A_LISTING = 256
"""Ids asked for at a time: more than a page, so that most pages take one request."""

_READ_TOGETHER = 64
"""Jobs that are read at a time where a filter may pass over them."""

_AFTER_ALL = "g"
"""Comes after every hexadecimal digit."""


class JobLister:
    """Lists jobs; methods block.

    Args:
        reader: of jobs.
    """

    def __init__(self, reader: JobReader) -> None:
        self._reader = reader
        self._objects: ObjectStore = reader.jobs.objects

    def page(self, tenant: str, query: ListQuery) -> tuple[list[JobSnapshot], str]:
        """Jobs of a page, and the token of the next one; empty on the last.

        Raises:
            NotFoundError: there is no such parent (JOB_NOT_FOUND).
            EurekaError: the store is away.
        """
        ids = self._children(tenant, query) if query.parent else self._newest(tenant, query)
        found: list[JobSnapshot] = []
        num_looked, last = 0, query.after
        while len(found) < query.page_size and num_looked < MAX_LOOKED:
            chunk = list(islice(ids, _chunk(query, len(found))))
            if not chunk:
                return found, ""
            for job_id, snapshot in zip(chunk, self._reader.each(tenant, chunk), strict=True):
                if len(found) == query.page_size:
                    return found, replace(query, after=last).token
                num_looked, last = num_looked + 1, job_id
                if snapshot is not None and _matches(query, snapshot):
                    found.append(snapshot)
        has_more = next(ids, None) is not None
        return found, replace(query, after=last).token if has_more else ""

    def _children(self, tenant: str, query: ListQuery) -> Iterator[str]:
        batch = self._reader.batch(tenant, query.parent or "")
        return (job_id for job_id in batch.child_ids() if job_id > query.after)

    def _newest(self, tenant: str, query: ListQuery) -> Iterator[str]:
        """Ids of jobs and batches, newest first, without children, within the times."""
        after = max(query.after, _after_time(query.max_time) if query.max_time else "")
        batches = self._ids(batches_folder(tenant), after, lambda job_id: None)
        singles = self._ids(jobs_folder(tenant), after, lambda job_id: self._past_children(tenant, job_id))
        for job_id in merge(singles, batches):
            if query.min_time is not None and created_time(job_id) < query.min_time:
                return
            yield job_id

    def _ids(self, folder: str, after: str, jump: Callable[[str], str | None]) -> Iterator[str]:
        """Ids below a folder; where `jump` gives another one for an id, all up to that are passed over."""
        start_after: str | None = f"{folder}{after}/" if after else ""
        while start_after is not None:
            page = self._objects.list_folders(folder, start_after=start_after, limit=FOLDERS_A_LISTING)
            start_after = page.next_start_after
            for found in page.folders:
                job_id = _id_in(found)
                if job_id is None:
                    continue
                if (target := jump(job_id)) is not None:
                    start_after = f"{folder}{target}/"
                    break
                yield job_id

    def _past_children(self, tenant: str, job_id: str) -> str | None:
        """The last id that a sibling may have, if the job is a child of a batch."""
        parent = parent_id(job_id)
        if parent is None or not self._objects.exists(batch_key(tenant, parent)):
            return None
        return last_child_id(parent)


def _chunk(query: ListQuery, num_found: int) -> int:
    is_filtered = bool(query.states or query.labels)
    return _READ_TOGETHER if is_filtered else query.page_size - num_found


def _matches(query: ListQuery, snapshot: JobSnapshot) -> bool:
    if query.states and snapshot.state not in query.states:
        return False
    return query.labels.items() <= snapshot.spec.labels.items()


def _after_time(moment: datetime) -> str:
    """What ids of jobs that were made before a moment come after."""
    whole = moment + timedelta(milliseconds=1, microseconds=-1)  # ids know milliseconds
    first = new_job_id(whole, bytes(RANDOM_BYTES)).partition("-")[0]
    return f"{first}-{_AFTER_ALL}"


def _id_in(folder: str) -> str | None:
    job_id = folder.split("/")[-2]
    try:
        created_time(job_id)
    except InvalidInputError:  # not ours
        return None
    return job_id
