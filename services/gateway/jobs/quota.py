"""How many unfinished jobs a tenant may have: counted by markers, and looked at only near the limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from eureka.errors import QueueFullError
from eureka.jobs.states import JobState
from eureka.jobs.unfinished import Unfinished, mark_finished, unfinished_jobs
from services.gateway.jobs.reading import JobReader, JobSnapshot

RECOUNT_SECONDS = 2.0
"""For so long a full tenant is told so without looking at its jobs again."""


@dataclass(frozen=True, slots=True)
class _Count:
    """Files that were unfinished at a moment of a growing clock."""

    num_files: int
    time: float


class JobQuota:
    """Refuses jobs beyond the limit; methods block, for any number of threads.

    Creations side by side may each pass the last free place: the limit bounds what is stored, not each count.

    Args:
        reader: of jobs.
        max_unfinished: files of one tenant that wait or are heard at a time, each child of a batch counted.
        now: seconds of a growing clock.
    """

    def __init__(
        self, reader: JobReader, max_unfinished: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        self._objects = reader.jobs.objects
        self._max = max_unfinished
        self._now = now
        self._full: dict[str, _Count] = {}

    def check(self, tenant: str, num_files: int) -> None:
        """Let a job over so many files pass.

        Raises:
            QueueFullError: reason JOB_QUOTA.
            EurekaError: the store is away.
        """
        num_unfinished = self._known(tenant)
        if num_unfinished + num_files <= self._max:
            num_unfinished = self._counted(tenant, num_files)
        if num_unfinished + num_files > self._max:
            message = (
                f"{num_unfinished:,} files of yours are not heard yet, and the job has {num_files:,}; the "
                f"limit is {self._max:,} together: wait until jobs end, cancel some, or make smaller batches"
            )
            raise QueueFullError(message, reason="JOB_QUOTA")

    def _known(self, tenant: str) -> int:
        """What was counted a moment ago, if the tenant was full then; else 0."""
        known = self._full.get(tenant)
        return known.num_files if known and self._now() - known.time < RECOUNT_SECONDS else 0

    def _counted(self, tenant: str, num_files: int) -> int:
        """Unfinished files: by markers where there is room, else by a look at each job."""
        marked = list(unfinished_jobs(self._objects, tenant))
        number = sum(job.num_files for job in marked)
        if number + num_files <= self._max:
            return number
        number = self._looked_at(tenant, marked)
        if number + num_files > self._max:
            self._full[tenant] = _Count(number, self._now())
        return number

    def _looked_at(self, tenant: str, marked: list[Unfinished]) -> int:
        number = 0
        snapshots = self._reader.each(tenant, [job.job_id for job in marked])
        for job, snapshot in zip(marked, snapshots, strict=True):
            num_left = _num_unfinished(snapshot)
            if not num_left:
                mark_finished(self._objects, tenant, job.job_id)
            number += num_left
        return number


def _num_unfinished(snapshot: JobSnapshot | None) -> int:
    if snapshot is None:
        return 0
    if snapshot.children is None:
        return int(not snapshot.state.is_final)
    return snapshot.children[JobState.PENDING] + snapshot.children[JobState.RUNNING]
