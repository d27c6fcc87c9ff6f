"""Watching a job: it is looked at once a second for all who watch it, and what ended since is sent."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from eureka.api.v1 import job_service_pb2 as api
from eureka.errors import InvalidInputError, QueueFullError
from eureka.jobs.reading import JobView
from services.gateway.jobs.looks import InThread, SharedLooks
from services.gateway.jobs.messages import job_message
from services.gateway.jobs.reading import JobReader, JobSnapshot

LOOK_SECONDS = 1.0
"""Between two looks at a job."""

WINDOWS_A_MESSAGE = 64
"""Windows whose text goes into one message."""

MAX_WATCHES = 1_000
"""Streams at a time; the next one gets RESOURCE_EXHAUSTED."""

MAX_TOKEN_LETTERS = 1 << 18
"""Of a resume token: two numbers a gap between windows that have ended."""

_TOKEN = re.compile(r"(\d{1,4}):((\d{1,7}-\d{1,7})(,\d{1,7}-\d{1,7})*)?")


@dataclass(slots=True)
class Place:
    """How much of a job's text was sent.

    Attributes:
        round_number: the latest round that was seen.
        sent: windows whose text of that round or an earlier one was sent, and is still the latest.
    """

    round_number: int = 0
    sent: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, token: str) -> Place:
        """The place that a token names; empty is the start.

        Raises:
            InvalidInputError: reason INVALID_RESUME_TOKEN.
        """
        if not token:
            return cls()
        match = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN_LETTERS else None
        ranges = [part.split("-") for part in match[2].split(",")] if match and match[2] else []
        edges = [(int(start), int(end)) for start, end in ranges]
        is_ordered = all(start <= end for start, end in edges)
        num_windows = sum(end - start + 1 for start, end in edges)
        if match is None or not is_ordered or num_windows > MAX_TOKEN_LETTERS:
            message = "resume_token is not one that WatchJob sent; begin without one"
            raise InvalidInputError(message, reason="INVALID_RESUME_TOKEN")
        return cls(int(match[1]), {index for start, end in edges for index in range(start, end + 1)})

    @property
    def token(self) -> str:
        """The place as a token."""
        return f"{self.round_number}:{','.join(f'{start}-{end}' for start, end in _ranges(self.sent))}"

    def enter(self, view: JobView) -> list[int]:
        """Forget what later rounds hear again; the windows that ended and are not sent, in order."""
        for state in view.rounds:
            if state.plan.round_number > self.round_number:
                self.sent -= {window.index for window in state.plan.windows}
                self.round_number = state.plan.round_number
        return sorted(view.ended_now() - self.sent)


class JobWatcher:
    """Follows jobs, for one event loop.

    Args:
        reader: of jobs.
        in_thread: runs what blocks.
        look_seconds: between two looks.
        max_watches: streams at a time.
    """

    def __init__(
        self,
        reader: JobReader,
        in_thread: InThread,
        look_seconds: float = LOOK_SECONDS,
        max_watches: int = MAX_WATCHES,
    ) -> None:
        self._looks = SharedLooks(reader, in_thread, look_seconds)
        self._max_watches = max_watches
        self._num_watches = 0

    async def watch(self, tenant: str, job_id: str, token: str) -> AsyncIterator[api.WatchJobResponse]:
        """Messages about the job until it has ended.

        Raises:
            InvalidInputError: reason INVALID_RESUME_TOKEN.
            QueueFullError: reason TOO_MANY_WATCHES.
            NotFoundError: there is no such job, or no longer (JOB_NOT_FOUND).
            EurekaError: the store is away.
        """
        place = Place.of(token)
        if self._num_watches >= self._max_watches:
            message = f"{self._num_watches} jobs are watched, the limit; ask GetJob from time to time"
            raise QueueFullError(message, reason="TOO_MANY_WATCHES")
        self._num_watches += 1
        try:
            async with aclosing(self._messages(tenant, job_id, place)) as messages:
                async for response in messages:
                    yield response
        finally:
            self._num_watches -= 1

    async def _messages(
        self, tenant: str, job_id: str, place: Place
    ) -> AsyncGenerator[api.WatchJobResponse, None]:
        pace, last = _Pace(), b""
        not_before = time.monotonic()  # what others saw before may be over: a retry, say
        async with self._looks.watched(tenant, job_id) as watched:
            while True:
                look = await watched.look(not_before)
                fresh = place.enter(look.view) if look.view is not None else []
                segments: list[api.PartialSegment] = []
                if look.view is not None and fresh:
                    segments = await watched.segments(look.view, fresh[:WINDOWS_A_MESSAGE])
                    place.sent.update(fresh[:WINDOWS_A_MESSAGE])
                job = job_message(look.snapshot, pace.end_time(look.snapshot))
                seen = job_message(look.snapshot).SerializeToString(deterministic=True)
                if segments or seen != last:
                    yield api.WatchJobResponse(job=job, segments=segments, resume_token=place.token)
                last = seen
                if len(fresh) > WINDOWS_A_MESSAGE:
                    continue
                if look.snapshot.state.is_final:
                    return
                await asyncio.sleep(look.pause_seconds)


class _Pace:
    """When a job will end, by the audio that ended since its watch began."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._first_seconds: float | None = None

    def end_time(self, snapshot: JobSnapshot) -> datetime | None:
        """About when; None where nothing has ended yet."""
        extent = snapshot.extent
        if self._first_seconds is None:
            self._first_seconds = extent.ended_seconds
        ended = extent.ended_seconds - self._first_seconds
        if ended <= 0 or snapshot.state.is_final:
            return None
        elapsed = time.monotonic() - self._started
        left = (extent.total_seconds - extent.ended_seconds) * elapsed / ended
        return datetime.now(UTC) + timedelta(seconds=left)


def _ranges(numbers: set[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of neighbours, in order."""
    ordered = sorted(numbers)
    starts = [one for one in ordered if one - 1 not in numbers]
    ends = [one for one in ordered if one + 1 not in numbers]
    return zip(starts, ends, strict=True)
