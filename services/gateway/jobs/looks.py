"""Looks at watched jobs, shared by all who watch one: the store is asked once, however many they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from eureka.api.v1 import job_service_pb2 as api
from eureka.jobs.job_store import WindowRef
from eureka.jobs.reading import JobView
from services.gateway.jobs.messages import partial_segments
from services.gateway.jobs.reading import JobReader, JobSnapshot

LOOK_SHARE = 4.0
"""A look that takes long is followed by a pause of so many times its length: large batches, slow stores."""

KEPT_WINDOWS = 128
"""Windows of a watched job whose text is kept: those that ended last, which all who watch ask for."""

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a job gave.

    Attributes:
        snapshot: the job.
        view: what is planned and ended; None of a batch, and before the plan.
        time: when it began, on a growing clock.
        pause_seconds: until the next look, from its end.
    """

    snapshot: JobSnapshot
    view: JobView | None
    time: float
    pause_seconds: float


class WatchedJob:
    """One job that somebody watches.

    Args:
        reader: of jobs.
        in_thread: runs what blocks.
        tenant, job_id: which job.
        look_seconds: between two looks.
    """

    def __init__(
        self, reader: JobReader, in_thread: InThread, tenant: str, job_id: str, look_seconds: float
    ) -> None:
        self._reader = reader
        self._in_thread = in_thread
        self._tenant, self._job_id = tenant, job_id
        self._look_seconds = look_seconds
        self._lock = asyncio.Lock()
        self._last: Look | None = None
        self._due = 0.0
        self._segments = lru_cache(KEPT_WINDOWS)(self._read_segments)

    async def look(self, not_before: float) -> Look:
        """The job as it stands: the last look, unless another is due or that one began before `not_before`.

        Raises:
            NotFoundError: there is no such job, or no longer (JOB_NOT_FOUND).
            EurekaError: the store is away.
        """
        async with self._lock:
            if self._last is None or self._last.time < not_before or time.monotonic() >= self._due:
                self._last = await self._in_thread(self._read)
                self._due = time.monotonic() + self._last.pause_seconds
            return self._last

    async def segments(self, view: JobView, indices: Sequence[int]) -> list[api.PartialSegment]:
        """The text of some windows, in their order; raises as `look`."""
        best = view.best_rounds()
        refs = [WindowRef(view.keys, best[index], index) for index in indices]
        async with self._lock:
            found = await self._in_thread(lambda: [self._segments(ref) for ref in refs])
        return [segment for segments in found for segment in segments]

    def _read(self) -> Look:
        started = time.monotonic()
        snapshot = self._reader.read(self._tenant, self._job_id)
        view = None if snapshot.children is not None else self._reader.view(snapshot)
        seconds = time.monotonic() - started
        return Look(snapshot, view, started, max(self._look_seconds, LOOK_SHARE * seconds))

    def _read_segments(self, ref: WindowRef) -> tuple[api.PartialSegment, ...]:
        outcome = self._reader.jobs.outcome(ref)
        return tuple(partial_segments(outcome)) if outcome is not None else ()


@dataclass(slots=True)
class _Shared:
    """A watched job, and how many watch it."""

    job: WatchedJob
    num_watches: int = 0


@dataclass(slots=True)
class SharedLooks:
    """The jobs that are watched now, for one event loop.

    Attributes:
        reader: of jobs.
        in_thread: runs what blocks.
        look_seconds: between two looks at a job.
    """

    reader: JobReader
    in_thread: InThread
    look_seconds: float
    _jobs: dict[tuple[str, str], _Shared] = field(default_factory=dict)

    @asynccontextmanager
    async def watched(self, tenant: str, job_id: str) -> AsyncIterator[WatchedJob]:
        """The job, shared with all others who watch it; forgotten when the last one leaves."""
        key = tenant, job_id
        shared = self._jobs.setdefault(
            key, _Shared(WatchedJob(self.reader, self.in_thread, tenant, job_id, self.look_seconds))
        )
        shared.num_watches += 1
        try:
            yield shared.job
        finally:
            shared.num_watches -= 1
            if not shared.num_watches:
                del self._jobs[key]
