"""As `eureka.clients.gateway_jobs`, for asyncio; files are read and written in threads."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import grpc

from eureka.api.v1 import job_service_pb2 as api
from eureka.clients import gateway_calls as calls
from eureka.clients import gateway_job_messages as messages
from eureka.clients.gateway_calls import Attempts, ClientConfig
from eureka.clients.gateway_job_streams import AsyncJobWatch, watch_attempts
from eureka.clients.gateway_job_types import (
    Job,
    JobFilter,
    JobOptions,
    JobPage,
    JobSource,
    ResultForm,
    ResultInfo,
    StoredObject,
    StoredObjects,
    StoredPrefix,
)
from eureka.clients.gateway_jobs import NO_LINK, PART_SUFFIX, put_source
from eureka.clients.gateway_types import AudioSource, Upload
from eureka.clients.object_links import get_file
from eureka.errors import EurekaError

Response = TypeVar("Response")


class AsyncJobCalls(ABC):
    """The methods about jobs; arguments, results and errors are those of `JobCalls`."""

    _config: ClientConfig
    _jobs: Any

    @abstractmethod
    async def upload(
        self, source: AudioSource, *, timeout_seconds: float | None = None, request_id: str = ""
    ) -> Upload:
        """See `GatewayClient`."""

    @abstractmethod
    async def _call(
        self, method: Callable[..., Awaitable[Response]], request: object, attempts: Attempts
    ) -> Response:
        """One unary call with its retries."""

    async def create_job(
        self,
        source: JobSource,
        options: JobOptions | None = None,
        *,
        request_id: str = "",
        validate_only: bool = False,
        timeout_seconds: float | None = None,
    ) -> Job:
        """A job over one recording, or a batch."""
        options = options or JobOptions()
        if not isinstance(source, Upload | StoredObject | StoredObjects | StoredPrefix):
            if not options.display_name:
                options = replace(options, display_name=calls.display_name(source))
            source = await self.upload_for_job(source, timeout_seconds=timeout_seconds)
        attempts = self._config.attempts(timeout_seconds, request_id)
        request = messages.create_request(
            messages.source_message(source), options, attempts.request_id, validate_only
        )
        return messages.job_of((await self._call(self._jobs.CreateJob, request, attempts)).job)

    async def get_job(self, name: str, *, timeout_seconds: float | None = None) -> Job:
        """A job as it stands."""
        attempts = self._config.attempts(timeout_seconds, "")
        request = api.GetJobRequest(name=name)
        return messages.job_of((await self._call(self._jobs.GetJob, request, attempts)).job)

    async def list_jobs(
        self,
        wanted: JobFilter | None = None,
        *,
        parent: str = "",
        page_size: int = 50,
        page_token: str = "",
        timeout_seconds: float | None = None,
    ) -> JobPage:
        """A page of jobs, newest first."""
        attempts = self._config.attempts(timeout_seconds, "")
        request = messages.list_request(wanted or JobFilter(), parent, page_size, page_token)
        return messages.page_of(await self._call(self._jobs.ListJobs, request, attempts))

    async def all_jobs(self, wanted: JobFilter | None = None, *, parent: str = "") -> AsyncIterator[Job]:
        """All jobs, newest first, page by page as they are asked for; arguments as of `list_jobs`."""
        token = ""
        while True:
            page = await self.list_jobs(wanted, parent=parent, page_token=token)
            for job in page.jobs:
                yield job
            if not page.next_token:
                return
            token = page.next_token

    def watch_job(
        self, name: str, *, resume_token: str = "", timeout_seconds: float | None = None
    ) -> AsyncJobWatch:
        """Updates of a job until it has ended, over as many connections as it takes."""
        attempts = watch_attempts(self._config.attempts(timeout_seconds, ""), timeout_seconds)

        def start(token: str, attempts: Attempts) -> Any:
            request = api.WatchJobRequest(name=name, resume_token=token)
            return self._jobs.WatchJob(request, **attempts.arguments)

        return AsyncJobWatch(start, attempts, resume_token)

    async def cancel_job(self, name: str, *, timeout_seconds: float | None = None) -> Job:
        """End a job; what was heard is kept."""
        attempts = self._config.attempts(timeout_seconds, "")
        request = api.CancelJobRequest(name=name)
        return messages.job_of((await self._call(self._jobs.CancelJob, request, attempts)).job)

    async def retry_job(self, name: str, *, timeout_seconds: float | None = None) -> Job:
        """Hear again what failed, as a new round."""
        attempts = self._config.attempts(timeout_seconds, "")
        request = api.RetryJobRequest(name=name)
        return messages.job_of((await self._call(self._jobs.RetryJob, request, attempts)).job)

    async def delete_job(self, name: str, *, timeout_seconds: float | None = None) -> None:
        """Remove a job with all its objects."""
        attempts = self._config.attempts(timeout_seconds, "")
        await self._call(self._jobs.DeleteJob, api.DeleteJobRequest(name=name), attempts)

    async def upload_for_job(self, source: AudioSource, *, timeout_seconds: float | None = None) -> Upload:
        """Send a recording: to the object store where it makes links that can be used, else by Upload."""
        if isinstance(source, Upload):
            return source
        attempts = self._config.attempts(timeout_seconds, "")
        try:
            response = await self._call(self._jobs.CreateUpload, api.CreateUploadRequest(), attempts)
            return await asyncio.to_thread(put_source, response, source, attempts, self._config)
        except EurekaError as error:
            if error.reason not in NO_LINK:
                raise
        return await self.upload(source, timeout_seconds=attempts.remaining_seconds())

    async def get_result(
        self, name: str, form: ResultForm | str = ResultForm.JSON, *, timeout_seconds: float | None = None
    ) -> tuple[ResultInfo, bytes]:
        """The result of a job, or what was heard so far, with what it is."""
        pieces: list[bytes] = []
        info = await self._receive(name, ResultForm(form), pieces.append, False, timeout_seconds)
        return info, b"".join(pieces)

    async def download_result(
        self,
        name: str,
        path: str | os.PathLike[str],
        form: ResultForm | str = ResultForm.JSON,
        *,
        timeout_seconds: float | None = None,
    ) -> ResultInfo:
        """Write the result of a job to a file, which appears when it is whole."""
        attempts = self._config.attempts(timeout_seconds, "")
        part = Path(f"{os.fspath(path)}{PART_SUFFIX}")
        try:
            with part.open("wb") as file:
                info = await self._receive(name, ResultForm(form), file.write, True, timeout_seconds)
                if info.url:
                    seconds = attempts.remaining_seconds()
                    await asyncio.to_thread(get_file, info.url, file, seconds, self._config.uses_proxy)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return info

    async def _receive(
        self,
        name: str,
        form: ResultForm,
        take: Callable[[bytes], object],
        accepts_link: bool,
        timeout_seconds: float | None,
    ) -> ResultInfo:
        attempts = self._config.attempts(timeout_seconds, "")
        request = messages.result_request(name, form, accepts_link)
        while True:
            call = self._jobs.GetResult(request, **attempts.arguments)
            info: ResultInfo | None = None
            try:
                async for response in call:
                    if info is not None:
                        await asyncio.to_thread(take, response.data)
                    else:
                        info = messages.info_of(response.head)
            except grpc.RpcError as failure:
                if info is not None:  # data cannot be taken back
                    raise attempts.error(failure) from failure
                await asyncio.sleep(attempts.pause_after(failure))
                continue
            if info is None:
                raise EurekaError("the gateway answered without a result", reason="INCOMPLETE_STREAM")
            return info
