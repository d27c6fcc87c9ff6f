"""JobService: checks what comes in, runs it in threads, and translates what comes out."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from eureka.api.v1 import job_service_pb2 as api
from eureka.api.v1 import job_service_pb2_grpc
from eureka.clients.instruction_check import check_against_card
from eureka.clients.task_queue import TaskQueue
from eureka.errors import StageUnavailableError, WrongStateError
from eureka.jobs.job_store import JobStore
from eureka.runtime.calls import current_call
from eureka.storage.store import ObjectStore
from eureka.types import Instruction, Task
from services.gateway.jobs.bursts import Bursts
from services.gateway.jobs.changes import JobChanger
from services.gateway.jobs.creation import JobCreator
from services.gateway.jobs.listing import JobLister
from services.gateway.jobs.messages import job_message
from services.gateway.jobs.quota import JobQuota
from services.gateway.jobs.reading import FEW_OBJECTS, JobReader, JobSnapshot
from services.gateway.jobs.requests import creation_of, job_id_in, query_of, source_of, spec_of
from services.gateway.jobs.results import OpenedResult, ResultOpener
from services.gateway.jobs.watching import LOOK_SECONDS, MAX_WATCHES, JobWatcher
from services.gateway.model_service import ServedModel
from services.gateway.requests import Uploads

NUM_THREADS, NUM_READERS = 32, 16
"""Calls that talk to the store at a time, and reads inside them: stores answer within milliseconds."""

UPLOAD_LINK_SECONDS = 3_600
"""Life of a link for an upload."""

PIECE_BYTES = 1 << 20
"""Of a result in one message."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What bounds jobs at the gateway.

    Attributes:
        max_unfinished: files of one tenant that wait or are heard at a time.
        max_inline_result_bytes: larger results may come as a link.
        few_objects: objects of a job that are listed to see how it stands.
        max_watches: watched jobs at a time.
    """

    max_unfinished: int = 4_000
    max_inline_result_bytes: int = 1 << 20
    few_objects: int = FEW_OBJECTS
    max_watches: int = MAX_WATCHES


@dataclass(frozen=True, slots=True)
class JobParts:
    """What jobs need besides the gateway.

    Attributes:
        queue: told of work.
        objects: where jobs lie; the truth.
        look_seconds: between two looks at a watched job.
        limits: see there.
        bursts: workers of large batches; None where nobody makes any.
    """

    queue: TaskQueue
    objects: ObjectStore
    look_seconds: float = LOOK_SECONDS
    limits: JobLimits = field(default_factory=JobLimits)
    bursts: Bursts | None = None


class Jobs:
    """Everything that JobService runs; closed at the end.

    Args:
        parts: queue and store; the queue is closed with it.
        uploads: that came through the gateway.
        served: the checkpoint, for language hints.
        max_bytes: of one file.
    """

    def __init__(self, parts: JobParts, uploads: Uploads, served: ServedModel, max_bytes: int) -> None:
        self._threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="jobs")
        self._readers = ThreadPoolExecutor(NUM_READERS, thread_name_prefix="job-reads")
        self._queue = parts.queue
        self.objects = parts.objects
        self.served = served
        jobs, limits = JobStore(parts.objects), parts.limits
        self._bursts = parts.bursts
        find_burst = parts.bursts.find if parts.bursts else None
        self.reader = JobReader(jobs, self._readers, limits.few_objects, find_burst)
        quota = JobQuota(self.reader, limits.max_unfinished)
        self.creator = JobCreator(
            jobs, parts.queue, uploads, max_bytes, quota, self._readers, utc_now, parts.bursts
        )
        self.changer = JobChanger(self.reader, parts.queue, self.creator, parts.bursts)
        self.lister = JobLister(self.reader)
        self.watcher = JobWatcher(self.reader, self.in_thread, parts.look_seconds, limits.max_watches)
        self.results = ResultOpener(self.reader, utc_now, limits.max_inline_result_bytes)

    async def in_thread(self, work: Callable[[], _T]) -> _T:
        """Result of what blocks."""
        run = functools.partial(contextvars.copy_context().run, work)  # the call that asks stays known
        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def close(self) -> None:
        """Take no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._queue.close()
        if self._bursts:
            self._bursts.close()


class JobServicer(job_service_pb2_grpc.JobServiceServicer):
    """Jobs for callers; without `jobs` every method says what to set.

    Args:
        jobs: None where there is no queue.
    """

    def __init__(self, jobs: Jobs | None) -> None:
        self._given = jobs

    @property
    def _jobs(self) -> Jobs:
        if self._given is None:
            message = (
                "this gateway runs no jobs: start workers, and give both the same EUREKA_QUEUE__URL "
                "(redis://host:port/0) and EUREKA_STORAGE__..."
            )
            raise WrongStateError(message, reason="JOBS_UNAVAILABLE")
        return self._given

    async def CreateJob(self, request: api.CreateJobRequest, context: object) -> api.CreateJobResponse:
        """Make a job or a batch."""
        jobs, tenant = self._jobs, current_call().tenant
        source, creation = source_of(request.source), creation_of(request, tenant)
        spec = spec_of(request.config, tenant, jobs.creator.new_id(source), utc_now())
        _check_language(jobs.served, spec.language)
        if request.validate_only:
            checked = await jobs.in_thread(lambda: jobs.creator.checked(spec, source))
            return api.CreateJobResponse(job=api.Job(config=checked))
        job_id = await jobs.in_thread(lambda: jobs.creator.create(spec, source, creation))
        return api.CreateJobResponse(job=job_message(await self._read(job_id)))

    async def GetJob(self, request: api.GetJobRequest, context: object) -> api.GetJobResponse:
        """A job as it stands."""
        jobs, tenant, job_id = self._jobs, current_call().tenant, job_id_in(request.name)
        found = await jobs.in_thread(lambda: jobs.reader.read(tenant, job_id))
        return api.GetJobResponse(job=job_message(found))

    async def ListJobs(self, request: api.ListJobsRequest, context: object) -> api.ListJobsResponse:
        """A page of jobs."""
        jobs, tenant, query = self._jobs, current_call().tenant, query_of(request)
        found, token = await jobs.in_thread(lambda: jobs.lister.page(tenant, query))
        return api.ListJobsResponse(jobs=map(job_message, found), next_page_token=token)

    async def WatchJob(
        self, request: api.WatchJobRequest, context: object
    ) -> AsyncIterator[api.WatchJobResponse]:
        """A job as it goes on."""
        jobs, tenant = self._jobs, current_call().tenant
        async for message in jobs.watcher.watch(tenant, job_id_in(request.name), request.resume_token):
            yield message

    async def CancelJob(self, request: api.CancelJobRequest, context: object) -> api.CancelJobResponse:
        """End the latest round."""
        jobs, tenant, job_id = self._jobs, current_call().tenant, job_id_in(request.name)
        await jobs.in_thread(lambda: jobs.changer.cancel(tenant, job_id))
        return api.CancelJobResponse(job=job_message(await self._read(job_id)))

    async def RetryJob(self, request: api.RetryJobRequest, context: object) -> api.RetryJobResponse:
        """Hear the windows that failed again."""
        jobs, tenant, job_id = self._jobs, current_call().tenant, job_id_in(request.name)
        await jobs.in_thread(lambda: jobs.changer.retry(tenant, job_id))
        return api.RetryJobResponse(job=job_message(await self._read(job_id)))

    async def DeleteJob(self, request: api.DeleteJobRequest, context: object) -> api.DeleteJobResponse:
        """Remove a job with all its objects."""
        jobs, tenant, job_id = self._jobs, current_call().tenant, job_id_in(request.name)
        await jobs.in_thread(lambda: jobs.changer.delete(tenant, job_id))
        return api.DeleteJobResponse()

    async def CreateUpload(
        self, request: api.CreateUploadRequest, context: object
    ) -> api.CreateUploadResponse:
        """A link by which a recording goes to the store."""
        jobs, tenant = self._jobs, current_call().tenant
        name = f"uploads/{secrets.token_hex(16)}"
        expires = utc_now() + timedelta(seconds=UPLOAD_LINK_SECONDS)
        url = await jobs.in_thread(lambda: jobs.objects.presign_put(f"{tenant}/{name}", UPLOAD_LINK_SECONDS))
        response = api.CreateUploadResponse(upload=name, put_url=url)
        response.expire_time.FromDatetime(expires)
        return response

    async def GetResult(
        self, request: api.GetResultRequest, context: object
    ) -> AsyncIterator[api.GetResultResponse]:
        """The head of a result, and then its bytes."""
        jobs, tenant, job_id = self._jobs, current_call().tenant, job_id_in(request.name)
        opened: OpenedResult = await jobs.in_thread(
            lambda: jobs.results.open(tenant, job_id, request.format, request.accepts_link)
        )
        reader = opened.reader
        if reader is None:
            yield api.GetResultResponse(head=opened.head)
            return
        with closing(reader):
            yield api.GetResultResponse(head=opened.head)
            while piece := await jobs.in_thread(lambda: reader.read(PIECE_BYTES)):
                yield api.GetResultResponse(data=piece)

    async def _read(self, job_id: str) -> JobSnapshot:
        jobs, tenant = self._jobs, current_call().tenant
        return await jobs.in_thread(lambda: jobs.reader.read(tenant, job_id))


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


def _check_language(served: ServedModel, language: str | None) -> None:
    """Refuse a hint that the checkpoint does not know; while the decoder is away, any will do."""
    try:
        card = served.card
    except StageUnavailableError:
        return
    check_against_card(card, Instruction(Task.TRANSCRIBE, language))
