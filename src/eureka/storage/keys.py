"""Where the objects of a job lie in a store; pure functions.

    {tenant}/jobs/{job}/spec.json
                        audio
                        cancel.json
                        delete.json
                        rounds/{round}/plan.json
                        rounds/{round}/windows/{index}.json
                        rounds/{round}/result.{json,srt,vtt,txt,csv}
                        events/{name}

Rounds and windows are numbers with leading zeros, so that a listing has them in order. A job id begins with
the time left until an end that never comes, so that a listing has the newest job first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from eureka.errors import InvalidInputError

RESULT_FORMATS = ("json", "srt", "vtt", "txt", "csv")
"""Endings of a result."""

RANDOM_BYTES = 8
"""Random bytes of a job id: two jobs of one millisecond share an id once in 2^64."""

MAX_ROUND, MAX_INDEX = 9_999, 9_999_999
"""What the leading zeros have room for."""

_LAST_MILLISECOND = (1 << 48) - 1
"""48 bits of milliseconds since 1970 reach the year 10889."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_JOB_ID = re.compile(r"[0-9a-f]{12}-[0-9a-f]{16}")
_EVENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,99}")
_WINDOW = re.compile(r".*/rounds/(\d{4})/windows/(\d{7})\.json")
_ROUND = re.compile(r".*/rounds/(\d{4})/.*")


@dataclass(frozen=True, slots=True)
class JobKeys:
    """The keys of one job; neither tenant nor job can name anything outside their folder.

    Raises:
        InvalidInputError: reason INVALID_TENANT, INVALID_JOB_ID, or INVALID_KEY for a round, a window, a
            format or an event that there cannot be.
    """

    tenant: str
    job_id: str

    def __post_init__(self) -> None:
        check_tenant(self.tenant)
        check_job_id(self.job_id)

    @property
    def folder(self) -> str:
        """Everything of the job lies below."""
        return f"{jobs_folder(self.tenant)}{self.job_id}/"

    @property
    def spec(self) -> str:
        """What was asked; the job exists as soon as this does."""
        return f"{self.folder}spec.json"

    @property
    def audio(self) -> str:
        """The bytes that were sent."""
        return f"{self.folder}audio"

    @property
    def cancel(self) -> str:
        """Somebody wants the job to end."""
        return f"{self.folder}cancel.json"

    @property
    def delete(self) -> str:
        """Somebody wants the job to be gone."""
        return f"{self.folder}delete.json"

    @property
    def rounds_folder(self) -> str:
        """All rounds lie below."""
        return f"{self.folder}rounds/"

    @property
    def events_folder(self) -> str:
        """All events lie below."""
        return f"{self.folder}events/"

    def round_folder(self, round_number: int) -> str:
        """Everything of one round lies below."""
        return f"{self.rounds_folder}{_within(round_number, MAX_ROUND):04d}/"

    def plan(self, round_number: int) -> str:
        """The windows of a round."""
        return f"{self.round_folder(round_number)}plan.json"

    def windows_folder(self, round_number: int) -> str:
        """All ended windows of a round lie below."""
        return f"{self.round_folder(round_number)}windows/"

    def window(self, round_number: int, index: int) -> str:
        """What became of a window; its first writer wins."""
        return f"{self.windows_folder(round_number)}{_within(index, MAX_INDEX):07d}.json"

    def result(self, round_number: int, result_format: str = "json") -> str:
        """The merged result after a round."""
        if result_format not in RESULT_FORMATS:
            message = f"a result is one of {', '.join(RESULT_FORMATS)}, not {result_format[:20]!r}"
            raise InvalidInputError(message, reason="INVALID_KEY")
        return f"{self.round_folder(round_number)}result.{result_format}"

    def event(self, name: str) -> str:
        """Something that happened; a listing has events in the order of their names."""
        if not _EVENT.fullmatch(name):
            message = f"an event is 1 to 100 of A-Z, a-z, 0-9 and _.:+-, not {name[:100]!r}"
            raise InvalidInputError(message, reason="INVALID_KEY")
        return f"{self.events_folder}{name}"


def jobs_folder(tenant: str) -> str:
    """All jobs of a tenant lie below; a listing of its folders has the newest job first.

    Raises:
        InvalidInputError: reason INVALID_TENANT.
    """
    return f"{check_tenant(tenant)}/jobs/"


def new_job_id(now: datetime, random: bytes) -> str:
    """An id that sorts before those of earlier jobs: inverted milliseconds, then what makes it unique.

    Args:
        now: with its time zone.
        random: RANDOM_BYTES bytes, drawn for this job.
    """
    assert len(random) == RANDOM_BYTES, "the caller draws them"
    milliseconds = (now - _EPOCH) // timedelta(milliseconds=1)
    return f"{_LAST_MILLISECOND - milliseconds:012x}-{random.hex()}"


def created_time(job_id: str) -> datetime:
    """When the id was made, in UTC, to the millisecond.

    Raises:
        InvalidInputError: reason INVALID_JOB_ID.
    """
    left = int(check_job_id(job_id).partition("-")[0], 16)
    try:
        return _EPOCH + timedelta(milliseconds=_LAST_MILLISECOND - left)
    except OverflowError as exc:
        raise _no_job_id(job_id) from exc


def job_id_of(folder_or_key: str) -> str:
    """The job that a folder of `jobs_folder`, or a key below it, belongs to.

    Raises:
        InvalidInputError: reason INVALID_JOB_ID, for what `JobKeys` did not make.
    """
    parts = folder_or_key.split("/")
    if len(parts) < 4 or parts[1] != "jobs":
        raise _no_job_id(folder_or_key)
    return check_job_id(parts[2])


def round_of(folder_or_key: str) -> int | None:
    """The round that a key or folder lies in; None outside of rounds."""
    match = _ROUND.fullmatch(folder_or_key)
    return int(match[1]) if match else None


def window_of(key: str) -> int | None:
    """The index of the window whose key this is; None for other keys."""
    match = _WINDOW.fullmatch(key)
    return int(match[2]) if match else None


def check_tenant(tenant: str) -> str:
    """The tenant, if it may be one.

    Raises:
        InvalidInputError: reason INVALID_TENANT.
    """
    if _TENANT.fullmatch(tenant):
        return tenant
    message = f"a tenant is 1 to 63 of a-z, 0-9 and -, not beginning with -; {tenant[:63]!r} is none"
    raise InvalidInputError(message, reason="INVALID_TENANT")


def check_job_id(job_id: str) -> str:
    """The id, if `new_job_id` may have made it.

    Raises:
        InvalidInputError: reason INVALID_JOB_ID.
    """
    if _JOB_ID.fullmatch(job_id):
        return job_id
    raise _no_job_id(job_id)


def _no_job_id(text: str) -> InvalidInputError:
    return InvalidInputError(f"{text[:80]!r} is no id of a job", reason="INVALID_JOB_ID")


def _within(number: int, limit: int) -> int:
    if 0 <= number <= limit:
        return number
    raise InvalidInputError(f"rounds and windows are 0 to {limit}, not {number}", reason="INVALID_KEY")
