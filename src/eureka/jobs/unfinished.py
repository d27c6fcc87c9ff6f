"""Which jobs of a tenant have not ended, as one small object each, so that counting them is one listing.

    {tenant}/unfinished/{job}.{files}     written before the job, removed when it has ended

Only quotas read them: a marker that is left over is found and removed when a tenant comes to its limit, and
one that was lost makes room for a job more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eureka.errors import InvalidInputError
from eureka.storage.keys import check_job_id, check_tenant
from eureka.storage.store import MAX_PAGE, ObjectStore

FOLDER = "unfinished"
"""Of the platform, below each tenant."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A job that has not ended, as far as its marker tells.

    Attributes:
        tenant: whose it is.
        job_id: of the job or batch.
        num_files: that it hears; 1, or the children of a batch.
    """

    tenant: str
    job_id: str
    num_files: int = 1

    @property
    def key(self) -> str:
        """Of its marker."""
        return f"{_start(self.tenant, self.job_id)}{self.num_files}"


def mark_unfinished(objects: ObjectStore, job: Unfinished) -> None:
    """Count the job from now on."""
    objects.put(job.key, b"")


def mark_finished(objects: ObjectStore, tenant: str, job_id: str) -> None:
    """Count the job no longer."""
    for info in objects.list_objects(_start(tenant, job_id)).objects:
        objects.delete(info.key)


def unfinished_jobs(objects: ObjectStore, tenant: str) -> Iterator[Unfinished]:
    """Jobs whose markers are there, newest first."""
    folder = f"{check_tenant(tenant)}/{FOLDER}/"
    start_after: str | None = ""
    while start_after is not None:
        page = objects.list_objects(folder, start_after=start_after, limit=MAX_PAGE)
        found = (_job_in(tenant, info.key.removeprefix(folder)) for info in page.objects)
        yield from (job for job in found if job is not None)
        start_after = page.next_start_after


def _start(tenant: str, job_id: str) -> str:
    return f"{check_tenant(tenant)}/{FOLDER}/{check_job_id(job_id)}."


def _job_in(tenant: str, name: str) -> Unfinished | None:
    job_id, _, num_files = name.partition(".")
    try:
        return Unfinished(tenant, check_job_id(job_id), int(num_files))
    except (InvalidInputError, ValueError):  # not ours
        return None
