"""Cancelling, retrying and deleting jobs; of a batch, its children."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from eureka.clients.task_queue import TaskQueue
from eureka.errors import StageUnavailableError, WrongStateError
from eureka.jobs.batch import batch_key, is_batch_id
from eureka.jobs.deletion import delete_job
from eureka.jobs.rounds import retry_job
from eureka.jobs.spec import JobSpec
from eureka.jobs.states import JobState
from eureka.jobs.unfinished import Unfinished, mark_finished, mark_unfinished
from eureka.storage.keys import JobKeys
from services.gateway.jobs.bursts import Bursts
from services.gateway.jobs.creation import JobCreator
from services.gateway.jobs.reading import JobReader, JobSnapshot

logger = logging.getLogger(f"eureka.{__name__}")


class JobChanger:
    """Changes jobs; methods block, and raise JOB_NOT_FOUND (NotFoundError) for those that are not there.

    Args:
        reader: of jobs.
        queue: told of what is due.
        creator: tells it of rounds.
        bursts: ended with their batches; None where nobody makes any.
    """

    def __init__(
        self, reader: JobReader, queue: TaskQueue, creator: JobCreator, bursts: Bursts | None = None
    ) -> None:
        self._reader = reader
        self._queue = queue
        self._creator = creator
        self._bursts = bursts
        self._jobs = reader.jobs

    def cancel(self, tenant: str, job_id: str) -> None:
        """End the latest round; of a batch those of all children that run.

        Raises:
            WrongStateError: reason JOB_ENDED; it ended otherwise.
        """
        found = self._reader.read(tenant, job_id)
        if found.state is JobState.CANCELLED:
            return
        if found.state.is_final:
            message = f"jobs/{job_id} is {found.state.value}; only one that has not ended can be cancelled"
            raise WrongStateError(message, reason="JOB_ENDED")
        running = [one.spec for one in self._singles(tenant, found) if not one.state.is_final]
        self._reader.side_by_side(lambda spec: self._jobs.cancel(spec.keys), running)
        if found.children is not None and self._bursts:
            self._bursts.end(tenant, job_id)
        self._finish(running)

    def retry(self, tenant: str, job_id: str) -> None:
        """Plan what failed as a new round; of a batch for all children that ended with something failed.

        Raises:
            WrongStateError: reason JOB_NOT_ENDED or NOTHING_TO_RETRY.
        """
        found = self._reader.read(tenant, job_id)
        if found.children is None:
            self._check_ended(found)
            retry_job(self._jobs, found.spec.keys)
            mark_unfinished(self._jobs.objects, Unfinished(tenant, job_id))
            self._creator.enqueue([found.spec])
            return
        children = self._singles(tenant, found)
        is_retried = self._reader.side_by_side(self._retry_child, children)
        if not any(is_retried):
            message = f"no child of jobs/{job_id} has ended with something failed"
            raise WrongStateError(message, reason="NOTHING_TO_RETRY")
        mark_unfinished(self._jobs.objects, Unfinished(tenant, job_id, len(children)))
        self._creator.enqueue([one.spec for one, is_one in zip(children, is_retried, strict=True) if is_one])

    def delete(self, tenant: str, job_id: str) -> None:
        """Remove all objects of a job; of a batch the children first, so that it can be done again."""
        objects = self._jobs.objects
        if not is_batch_id(job_id):
            found = self._reader.read(tenant, job_id)
            delete_job(objects, found.spec.keys)
            mark_finished(objects, tenant, job_id)
            return
        children = self._reader.batch(tenant, job_id).child_ids()
        self._reader.side_by_side(lambda child: delete_job(objects, JobKeys(tenant, child)), children)
        if self._bursts:
            self._bursts.end(tenant, job_id)
            self._bursts.forget(tenant, job_id)
        objects.delete(batch_key(tenant, job_id))
        mark_finished(objects, tenant, job_id)

    def _singles(self, tenant: str, found: JobSnapshot) -> list[JobSnapshot]:
        if found.children is None:
            return [found]
        children = self._reader.batch(tenant, found.spec.job_id).child_ids()
        return [one for one in self._reader.find_all(tenant, children) if one is not None]

    def _check_ended(self, found: JobSnapshot) -> None:
        if not found.state.is_final:
            message = f"{found.spec.name} is {found.state.value}; only one that has ended can be tried again"
            raise WrongStateError(message, reason="JOB_NOT_ENDED")

    def _retry_child(self, child: JobSnapshot) -> bool:
        """Whether another round of a child was planned."""
        if not child.state.is_final or child.state is JobState.SUCCEEDED:
            return False
        try:
            retry_job(self._jobs, child.spec.keys)
        except WrongStateError:  # nothing failed, or somebody else was faster
            return False
        return True

    def _finish(self, specs: Sequence[JobSpec]) -> None:
        """Have results written; where the queue is away, the next sweep does."""
        for spec in specs:
            try:
                self._queue.enqueue_finish(spec.tenant, spec.job_id)
            except StageUnavailableError as error:
                logger.warning("job_not_enqueued", extra={"job_id": spec.job_id, "reason": error.reason})
                return
