"""Making jobs: what is named is looked at, the request is settled, the audio is put, and last the spec.

The spec makes the job. Whatever is killed before leaves no job; the same request_id goes on from there. A
queue that is away costs nothing but time: sweeps find the job in the store.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from eureka.api.v1 import job_service_pb2 as api
from eureka.clients.task_queue import TaskQueue
from eureka.errors import (
    AudioTooLongError,
    InvalidAudioError,
    NotFoundError,
    StageUnavailableError,
)
from eureka.jobs.batch import (
    Batch,
    batch_key,
    common_start,
    create_batch,
    is_batch_id,
    new_batch_id,
    new_single_id,
)
from eureka.jobs.job_store import JobStore
from eureka.jobs.once import CreationRequest, known_job, settle_job
from eureka.jobs.spec import JobSpec
from eureka.jobs.unfinished import Unfinished, mark_unfinished
from eureka.storage.keys import RANDOM_BYTES, JobKeys
from eureka.storage.store import MAX_PAGE, ObjectStore
from services.gateway.jobs.bursts import Bursts
from services.gateway.jobs.messages import config_message
from services.gateway.jobs.quota import JobQuota
from services.gateway.jobs.requests import Source, check_number_of_files, is_upload_name
from services.gateway.requests import Uploads

logger = logging.getLogger(f"eureka.{__name__}")

UNNAMED = "audio"
"""source_name of a spec whose caller gave none."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a source names, looked at.

    Attributes:
        object_keys: full keys of objects that stay where they are.
        names: of the files, for people.
        spooled: file of an upload that came through the gateway.
        uploaded: key of an upload that went to the store.
        num_bytes: of all objects of a batch.
    """

    object_keys: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    spooled: Path | None = None
    uploaded: str | None = None
    num_bytes: int = 0

    @property
    def num_files(self) -> int:
        """Files that are heard."""
        return len(self.object_keys) or 1


class JobCreator:
    """Makes jobs; methods block.

    Args:
        jobs: documents of jobs.
        queue: told of each.
        uploads: that came through the gateway.
        max_bytes: of one file.
        quota: of unfinished jobs.
        threads: look at several objects at a time; nothing else runs there.
        utc: the time of day.
        bursts: gives large batches workers of their own; None where nobody does.
    """

    def __init__(
        self,
        jobs: JobStore,
        queue: TaskQueue,
        uploads: Uploads,
        max_bytes: int,
        quota: JobQuota,
        threads: ThreadPoolExecutor,
        utc: Callable[[], datetime],
        bursts: Bursts | None = None,
    ) -> None:
        self._jobs = jobs
        self._objects: ObjectStore = jobs.objects
        self._queue = queue
        self._uploads = uploads
        self._max_bytes = max_bytes
        self._quota = quota
        self._threads = threads
        self._utc = utc
        self._bursts = bursts

    def new_id(self, source: Source) -> str:
        """An id for a job over this source."""
        make = new_batch_id if source.is_batch else new_single_id
        return make(self._utc(), secrets.token_bytes(RANDOM_BYTES))

    def create(self, spec: JobSpec, source: Source, request: CreationRequest | None) -> str:
        """Id of the job, made now or by the same request before.

        Raises:
            NotFoundError: UPLOAD_NOT_FOUND, OBJECT_NOT_FOUND.
            InvalidInputError: EMPTY_AUDIO, UPLOAD_TOO_LARGE, TOO_MANY_FILES.
            AlreadyExistsError: REQUEST_ID_REUSED.
            QueueFullError: JOB_QUOTA.
            EurekaError: the store is away; nothing was made, or the same request goes on.
        """
        if (known := self._made_before(request)) is not None:
            return known
        try:
            found = self.look(spec.tenant, source)
        except NotFoundError:  # the same request may have taken the upload since
            if (known := self._made_before(request)) is not None:
                return known
            raise
        self._quota.check(spec.tenant, found.num_files)
        job_id = settle_job(self._objects, request, spec.job_id) if request else spec.job_id
        spec = replace(spec, job_id=job_id)
        mark_unfinished(self._objects, Unfinished(spec.tenant, job_id, found.num_files))
        if source.is_batch:
            self._create_batch(named(spec, common_start(found.names) or found.names[0]), found)
        else:
            self._create_single(named(spec, found.names[0]), found)
        return job_id

    def checked(self, spec: JobSpec, source: Source) -> api.JobConfig:
        """What `create` would make, made of nothing; raises as `create`."""
        found = self.look(spec.tenant, source)
        self._quota.check(spec.tenant, found.num_files)
        return config_message(named(spec, found.names[0]))

    def look(self, tenant: str, source: Source) -> Found:
        """What the source names; raises as `create`."""
        if source.upload is not None:
            return self._upload(tenant, source.upload)
        if source.prefix is not None:
            return self._below(tenant, source.prefix)
        sizes = list(self._threads.map(lambda key: self._size(tenant, key), source.object_keys))
        for key, num_bytes in zip(source.object_keys, sizes, strict=True):
            self._check_size(key, num_bytes)
        if source.is_batch:
            return _objects(tenant, source.object_keys, sum(sizes))
        return Found((f"{tenant}/{source.object_keys[0]}",), (_last_part(source.object_keys[0]),))

    def enqueue(self, specs: Sequence[JobSpec], lane: str | None = None) -> None:
        """Tell the queue, by the jobs' own lane unless one is given; where it is away the next sweep does."""
        for spec in specs:
            try:
                self._queue.enqueue_plan(spec.tenant, spec.job_id, lane or spec.lane.value)
            except StageUnavailableError as error:
                logger.warning("job_not_enqueued", extra={"job_id": spec.job_id, "reason": error.reason})
                return

    def _made_before(self, request: CreationRequest | None) -> str | None:
        """Id of the job that the request made; None where there is none yet."""
        known = known_job(self._objects, request) if request else None
        is_there = request is not None and known is not None and self._exists(request.tenant, known)
        return known if is_there else None

    def _create_single(self, spec: JobSpec, found: Found) -> None:
        try:
            self._put_audio(spec.keys, found)
        except NotFoundError:  # the same request took the upload in the meantime
            if not self._exists(spec.tenant, spec.job_id):
                raise
            return
        spec = replace(spec, source_key=found.object_keys[0] if found.object_keys else None)
        if self._jobs.create(spec):
            self.enqueue([spec])
        if found.uploaded is not None:
            self._objects.delete(found.uploaded)

    def _create_batch(self, spec: JobSpec, found: Found) -> None:
        batch = create_batch(self._objects, Batch(spec, found.object_keys, found.names))
        lane = self._bursts.begin(batch, found.num_bytes) if self._bursts else None
        self.enqueue(batch.child_specs(), lane)

    def _put_audio(self, keys: JobKeys, found: Found) -> None:
        if found.uploaded is not None:
            self._objects.copy(found.uploaded, keys.audio)
        elif found.spooled is not None:
            try:
                with found.spooled.open("rb") as file:
                    self._objects.put(keys.audio, file)
            except FileNotFoundError as error:
                raise _no_upload(found.names[0]) from error

    def _exists(self, tenant: str, job_id: str) -> bool:
        keys = JobKeys(tenant, job_id)
        return self._objects.exists(batch_key(tenant, job_id) if is_batch_id(job_id) else keys.spec)

    def _upload(self, tenant: str, name: str) -> Found:
        """A file of the gateway, else an object of a link."""
        short = (_last_part(name),)
        if not is_upload_name(name):
            raise _no_upload(name)
        try:
            return Found(names=short, spooled=self._uploads.find(tenant, name))
        except NotFoundError:
            key = f"{tenant}/{name}"
        try:
            num_bytes = self._objects.stat(key).num_bytes
        except NotFoundError as error:
            raise _no_upload(name) from error
        self._check_size(name, num_bytes)
        return Found(names=short, uploaded=key)

    def _below(self, tenant: str, prefix: str) -> Found:
        keys: list[str] = []
        num_bytes = 0
        start_after: str | None = ""
        while start_after is not None:
            page = self._objects.list_objects(f"{tenant}/{prefix}", start_after=start_after, limit=MAX_PAGE)
            for info in page.objects:
                key = info.key.removeprefix(f"{tenant}/")
                self._check_size(key, info.num_bytes)
                keys.append(key)
                num_bytes += info.num_bytes
            check_number_of_files(len(keys))
            start_after = page.next_start_after
        if not keys:
            raise NotFoundError(f"there is no object below {prefix!r}", reason="OBJECT_NOT_FOUND")
        return _objects(tenant, keys, num_bytes)

    def _size(self, tenant: str, key: str) -> int:
        try:
            return self._objects.stat(f"{tenant}/{key}").num_bytes
        except NotFoundError as error:
            raise NotFoundError(f"there is no object {key!r}", reason="OBJECT_NOT_FOUND") from error

    def _check_size(self, name: str, num_bytes: int) -> None:
        if num_bytes == 0:
            raise InvalidAudioError(f"{name!r} is empty (0 bytes)", reason="EMPTY_AUDIO")
        if num_bytes > self._max_bytes:
            message = f"{name!r} has {num_bytes:,} bytes; the limit is {self._max_bytes:,}: cut the file"
            raise AudioTooLongError(message, reason="UPLOAD_TOO_LARGE")


def named(spec: JobSpec, name: str) -> JobSpec:
    """The spec with a name, where its caller gave none."""
    return replace(spec, source_name=name) if spec.source_name == UNNAMED else spec


def _objects(tenant: str, keys: Sequence[str], num_bytes: int) -> Found:
    return Found(tuple(f"{tenant}/{key}" for key in keys), tuple(keys), num_bytes=num_bytes)


def _last_part(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _no_upload(name: str) -> NotFoundError:
    message = f"there is no upload {name[:64]!r}; it may have expired, or a job has it: upload the file again"
    return NotFoundError(message, reason="UPLOAD_NOT_FOUND")
