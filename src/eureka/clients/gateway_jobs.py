"""Jobs by a gateway: the part of `GatewayClient` about work that outlives a call."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import grpc

from eureka.api.v1 import job_service_pb2 as api
from eureka.clients import gateway_calls as calls
from eureka.clients import gateway_job_messages as messages
from eureka.clients.gateway_calls import Attempts, ClientConfig
from eureka.clients.gateway_job_streams import JobWatch, watch_attempts
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
from eureka.clients.gateway_types import AudioSource, Upload
from eureka.clients.object_links import get_file, put_file
from eureka.errors import EurekaError

Response = TypeVar("Response")

NO_LINK = ("PRESIGN_UNAVAILABLE", "LINK_FAILED")
"""Reasons for sending a file through the gateway: there are no links, or they lead nowhere from here."""

PART_SUFFIX = ".part"
"""Of a file that is being downloaded."""


class JobCalls(ABC):
    """The methods about jobs; `GatewayClient` has the connection."""

    _config: ClientConfig
    _jobs: Any

    @abstractmethod
    def upload(
        self, source: AudioSource, *, timeout_seconds: float | None = None, request_id: str = ""
    ) -> Upload:
        """See `GatewayClient`."""

    @abstractmethod
    def _call(self, method: Callable[..., Response], request: object, attempts: Attempts) -> Response:
        """One unary call with its retries."""

    def create_job(
        self,
        source: JobSource,
        options: JobOptions | None = None,
        *,
        request_id: str = "",
        validate_only: bool = False,
        timeout_seconds: float | None = None,
    ) -> Job:
        """A job over one recording, or a batch.

        Args:
            source: a file, which is uploaded; an upload; or what lies in the store.
            options: what is wanted; None takes the defaults.
            request_id: the same id, source and options again give the same job; empty draws one for the
                attempts of this call. With a file it is uploaded anew, so give an upload or an object.
            validate_only: check everything, make nothing.
            timeout_seconds: for the whole call, its upload included.
        """
        options = options or JobOptions()
        if not isinstance(source, Upload | StoredObject | StoredObjects | StoredPrefix):
            if not options.display_name:
                options = replace(options, display_name=calls.display_name(source))
            source = self.upload_for_job(source, timeout_seconds=timeout_seconds)
        attempts = self._config.attempts(timeout_seconds, request_id)
        request = messages.create_request(
            messages.source_message(source), options, attempts.request_id, validate_only
        )
        return messages.job_of(self._call(self._jobs.CreateJob, request, attempts).job)

    def get_job(self, name: str, *, timeout_seconds: float | None = None) -> Job:
        """A job as it stands."""
        attempts = self._config.attempts(timeout_seconds, "")
        return messages.job_of(self._call(self._jobs.GetJob, api.GetJobRequest(name=name), attempts).job)

    def list_jobs(
        self,
        wanted: JobFilter | None = None,
        *,
        parent: str = "",
        page_size: int = 50,
        page_token: str = "",
        timeout_seconds: float | None = None,
    ) -> JobPage:
        """A page of jobs, newest first.

        Args:
            wanted: which jobs; None takes all.
            parent: a batch whose children are listed.
            page_size: 1 to 200.
            page_token: `next_token` of the page before, with the same `wanted` and `parent`.
            timeout_seconds: for the whole call.
        """
        attempts = self._config.attempts(timeout_seconds, "")
        request = messages.list_request(wanted or JobFilter(), parent, page_size, page_token)
        return messages.page_of(self._call(self._jobs.ListJobs, request, attempts))

    def all_jobs(self, wanted: JobFilter | None = None, *, parent: str = "") -> Iterator[Job]:
        """All jobs, newest first, page by page as they are asked for; arguments as of `list_jobs`."""
        token = ""
        while True:
            page = self.list_jobs(wanted, parent=parent, page_token=token)
            yield from page.jobs
            if not page.next_token:
                return
            token = page.next_token

    def watch_job(
        self, name: str, *, resume_token: str = "", timeout_seconds: float | None = None
    ) -> JobWatch:
        """Updates of a job until it has ended, over as many connections as it takes.

        Args:
            name: of the job.
            resume_token: goes on after that update.
            timeout_seconds: for all of it; None waits as long as the job lasts.
        """
        attempts = watch_attempts(self._config.attempts(timeout_seconds, ""), timeout_seconds)

        def start(token: str, attempts: Attempts) -> Any:
            request = api.WatchJobRequest(name=name, resume_token=token)
            return self._jobs.WatchJob(request, **attempts.arguments)

        return JobWatch(start, attempts, resume_token)

    def cancel_job(self, name: str, *, timeout_seconds: float | None = None) -> Job:
        """End a job; what was heard is kept."""
        attempts = self._config.attempts(timeout_seconds, "")
        return messages.job_of(
            self._call(self._jobs.CancelJob, api.CancelJobRequest(name=name), attempts).job
        )

    def retry_job(self, name: str, *, timeout_seconds: float | None = None) -> Job:
        """Hear again what failed, as a new round."""
        attempts = self._config.attempts(timeout_seconds, "")
        request = api.RetryJobRequest(name=name)
        return messages.job_of(self._call(self._jobs.RetryJob, request, attempts).job)

    def delete_job(self, name: str, *, timeout_seconds: float | None = None) -> None:
        """Remove a job with all its objects."""
        attempts = self._config.attempts(timeout_seconds, "")
        self._call(self._jobs.DeleteJob, api.DeleteJobRequest(name=name), attempts)

    def upload_for_job(self, source: AudioSource, *, timeout_seconds: float | None = None) -> Upload:
        """Send a recording: to the object store where it makes links that can be used, else by Upload."""
        if isinstance(source, Upload):
            return source
        attempts = self._config.attempts(timeout_seconds, "")
        try:
            response = self._call(self._jobs.CreateUpload, api.CreateUploadRequest(), attempts)
            return put_source(response, source, attempts, self._config)
        except EurekaError as error:
            if error.reason not in NO_LINK:
                raise
        return self.upload(source, timeout_seconds=attempts.remaining_seconds())

    def get_result(
        self, name: str, form: ResultForm | str = ResultForm.JSON, *, timeout_seconds: float | None = None
    ) -> tuple[ResultInfo, bytes]:
        """The result of a job, or what was heard so far, with what it is."""
        pieces: list[bytes] = []
        info = self._receive(name, ResultForm(form), pieces.append, False, timeout_seconds)
        return info, b"".join(pieces)

    def download_result(
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
                info = self._receive(name, ResultForm(form), file.write, True, timeout_seconds)
                if info.url:
                    get_file(info.url, file, attempts.remaining_seconds(), self._config.uses_proxy)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return info

    def _receive(
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
                for response in call:
                    if info is not None:
                        take(response.data)
                    else:
                        info = messages.info_of(response.head)
            except grpc.RpcError as failure:
                if info is not None:  # data cannot be taken back
                    raise attempts.error(failure) from failure
                time.sleep(attempts.pause_after(failure))
                continue
            if info is None:
                raise EurekaError("the gateway answered without a result", reason="INCOMPLETE_STREAM")
            return info


def put_source(
    link: api.CreateUploadResponse, source: AudioSource, attempts: Attempts, config: ClientConfig
) -> Upload:
    """Send a file by a link.

    Raises:
        EurekaError: the file cannot be read; StageUnavailableError (LINK_FAILED) for the link.
    """
    with closing(calls.open_file(source)) as opened:
        opened.reader.seek(0)
        seconds = attempts.remaining_seconds()
        put_file(link.put_url, opened.reader, opened.num_bytes, seconds, config.uses_proxy)
        return Upload(link.upload, opened.num_bytes)
