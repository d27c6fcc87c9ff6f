"""Results of jobs in every form: as they are stored, made on demand, or of what was heard so far."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from eureka.api.v1 import job_service_pb2 as api
from eureka.errors import InvalidInputError, NotFoundError, WrongStateError
from eureka.jobs.exports import MEDIA_TYPES, STORED_FORMS, ExportForm, export
from eureka.jobs.merge import Merger
from eureka.jobs.states import JobState
from eureka.storage.keys import JobKeys
from services.gateway.jobs.messages import STATES
from services.gateway.jobs.reading import JobReader

LINK_SECONDS = 3_600
"""Life of a link to a result."""

FORMS: dict[int, ExportForm] = {
    api.RESULT_FORMAT_UNSPECIFIED: ExportForm.JSON,
    api.RESULT_FORMAT_JSON: ExportForm.JSON,
    api.RESULT_FORMAT_SRT: ExportForm.SRT,
    api.RESULT_FORMAT_VTT: ExportForm.VTT,
    api.RESULT_FORMAT_TXT: ExportForm.TXT,
    api.RESULT_FORMAT_CSV: ExportForm.CSV,
    api.RESULT_FORMAT_LABEL_STUDIO: ExportForm.LABEL_STUDIO,
    api.RESULT_FORMAT_AUDACITY: ExportForm.AUDACITY,
}


@dataclass(frozen=True, slots=True, eq=False)
class OpenedResult:
    """A result: its head, and its bytes where the head has no link; the caller closes them."""

    head: api.ResultHead
    reader: BinaryIO | None


class ResultOpener:
    """Opens results; methods block.

    Args:
        reader: of jobs.
        utc: the time of day.
        max_inline_bytes: larger results may come as a link.
    """

    def __init__(self, reader: JobReader, utc: Callable[[], datetime], max_inline_bytes: int) -> None:
        self._reader = reader
        self._max_inline_bytes = max_inline_bytes
        self._jobs = reader.jobs
        self._merger = Merger(reader.jobs, utc)

    def open(self, tenant: str, job_id: str, number: int, accepts_link: bool) -> OpenedResult:
        """The result of the latest round that has one, else of what was heard so far.

        Args:
            tenant: whose job it is.
            job_id: of the job.
            number: of a form, as the API has it.
            accepts_link: a link will do.

        Raises:
            InvalidInputError: reason UNKNOWN_FORMAT.
            NotFoundError: reason JOB_NOT_FOUND.
            WrongStateError: BATCH_HAS_NO_RESULT, RESULT_NOT_READY, JOB_FAILED.
        """
        form = FORMS.get(number)
        if form is None:
            raise InvalidInputError(f"there is no form {number} of results", reason="UNKNOWN_FORMAT")
        snapshot = self._reader.read(tenant, job_id)
        if snapshot.children is not None:
            message = f"jobs/{job_id} is a batch; list its children by ListJobs.parent and take their results"
            raise WrongStateError(message, reason="BATCH_HAS_NO_RESULT")
        keys = snapshot.spec.keys
        for round_number in range(snapshot.round_number, 0, -1):
            state = snapshot.state if snapshot.end and round_number == snapshot.round_number else None
            state = state or self._state(keys, round_number)
            if state is not None:
                return self._stored(keys, round_number, state, form, accepts_link)
        return self._partial(keys, form)

    def _state(self, keys: JobKeys, round_number: int) -> JobState | None:
        head = self._jobs.result_head(keys, round_number)
        return head.state if head is not None else None

    def _stored(
        self, keys: JobKeys, number: int, state: JobState, form: ExportForm, accepts_link: bool
    ) -> OpenedResult:
        if state is JobState.FAILED and form is not ExportForm.JSON:
            message = f"jobs/{keys.job_id} failed, there is no text; its error is in the job and in the JSON"
            raise WrongStateError(message, reason="JOB_FAILED")
        if form is not ExportForm.JSON and form not in STORED_FORMS:
            whole = self._jobs.result(keys, number) or b""
            return _made(export(json.loads(whole), form), state, number, form)
        key = keys.result(number, form.value)
        size = self._jobs.objects.stat(key).num_bytes
        url = self._link(key) if accepts_link and size > self._max_inline_bytes else ""
        reader = None if url else self._jobs.objects.open(key)
        return OpenedResult(_head(state, number, form, size, url), reader)

    def _link(self, key: str) -> str:
        try:
            return self._jobs.objects.presign_get(key, LINK_SECONDS)
        except WrongStateError:  # PRESIGN_UNAVAILABLE
            return ""

    def _partial(self, keys: JobKeys, form: ExportForm) -> OpenedResult:
        try:
            result = self._merger.partial(keys)
        except NotFoundError as error:
            raise NotFoundError(f"there is no job {keys.job_id}", reason="JOB_NOT_FOUND") from error
        if result is None:
            message = f"jobs/{keys.job_id} has no result yet; watch it, or ask again later"
            raise WrongStateError(message, reason="RESULT_NOT_READY")
        return _made(export(result.to_plain(), form), result.state, result.round_number, form)


def _made(text: str, state: JobState, number: int, form: ExportForm) -> OpenedResult:
    content = text.encode()
    return OpenedResult(_head(state, number, form, len(content), ""), io.BytesIO(content))


def _head(state: JobState, number: int, form: ExportForm, size: int, url: str) -> api.ResultHead:
    return api.ResultHead(
        state=STATES[state], round=number, media_type=MEDIA_TYPES[form], size_bytes=size, url=url
    )
