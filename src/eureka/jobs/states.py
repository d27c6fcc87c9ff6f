"""States of a job, and how they follow from what lies in the store; there is no other record of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum

from eureka.jobs.documents import invalid_document

HEAD_BYTES = 256
"""Of a result, name and state lie within."""

_STATE_LINE = re.compile(
    rb'\{\s*"name": "jobs/[0-9a-f-]+",\s*"state": "(SUCCEEDED|PARTIAL|FAILED|CANCELLED)"'
)


class JobState(StrEnum):
    """Where a job stands; the last four are final for a round."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens unless somebody asks for a retry."""
        return self not in (JobState.PENDING, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class ResultHead:
    """What result.json says of the job's end."""

    state: JobState

    @classmethod
    def from_start(cls, start: bytes) -> ResultHead | None:
        """That of a result by its first bytes, if they show it: hours of audio give megabytes."""
        found = _STATE_LINE.match(start)
        return cls(JobState(found[1].decode())) if found else None

    @classmethod
    def from_bytes(cls, content: bytes) -> ResultHead:
        """That of a whole result.

        Raises:
            InvalidInputError: reason INVALID_DOCUMENT.
        """
        try:
            return cls(JobState(json.loads(content)["state"]))
        except (ValueError, KeyError, TypeError) as error:
            raise invalid_document("result.json", "it names no state") from error


@dataclass(frozen=True, slots=True)
class RoundFacts:
    """What lies in a round: its plan, and its result."""

    number: int
    has_plan: bool
    result: ResultHead | None


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What lies in the store of a job.

    Attributes:
        has_spec: it was made.
        is_deleted: somebody asked to delete it.
        cancelled_round: the latest round that somebody asked to end; 0 for none.
        latest: the highest round that holds anything; None before the first.
    """

    has_spec: bool
    is_deleted: bool
    cancelled_round: int
    latest: RoundFacts | None


def state_of(facts: JobFacts) -> JobState | None:
    """The state; None where there is no job (any more).

    The result of the latest round decides, else whether that round was cancelled, else whether it is planned.
    """
    if not facts.has_spec or facts.is_deleted:
        return None
    latest = facts.latest
    if latest is not None and latest.result is not None:
        return latest.result.state
    if facts.cancelled_round >= (latest.number if latest else 1):
        return JobState.CANCELLED
    return JobState.RUNNING if latest is not None and latest.has_plan else JobState.PENDING
