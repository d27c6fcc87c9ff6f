"""Finds in the store what is due, again and again; each worker has one, one of them works at a time.

Two that work at a time queue some things twice, which has no effect. A job at rest is looked at less and
less often.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from eureka.clients.work_record import Lease
from eureka.errors import EurekaError, InvalidInputError
from eureka.storage.keys import JobKeys, check_tenant, job_id_of, jobs_folder
from eureka.storage.store import ObjectStore

logger = logging.getLogger(f"eureka.{__name__}")

SWEEPS_A_LEASE = 3
"""Sweeps that may be missing before another worker sweeps; a sweep renews the lock with each job."""


@dataclass(frozen=True, slots=True)
class SweepTimes:
    """How often is looked, in seconds.

    Attributes:
        sweep_seconds: between two sweeps.
        quiet_seconds: longest time until a job at rest is looked at again.
    """

    sweep_seconds: float = 3.0
    quiet_seconds: float = 300.0

    @property
    def lease_seconds(self) -> float:
        """How long the lock lives."""
        return max(2.0, SWEEPS_A_LEASE * self.sweep_seconds)


@dataclass(frozen=True, slots=True)
class _Rest:
    """When to look at a job again, and how long it is left alone then."""

    until: float
    pause: float


class SweepObserver(Protocol):
    """Whoever wants to know what sweeps came to."""

    def swept(self, started: float, ended: float) -> None:
        """All jobs were looked at between these times, on the sweeper's clock."""

    def resting(self) -> None:
        """Another process looks at them."""


class Sweeper:
    """Looks at all jobs of all tenants.

    Args:
        objects: the store.
        lease: held by who sweeps.
        advance: queues what is due for a job; whether the job is not at rest.
        times: how often.
        now: seconds of a growing clock.
        observer: told of each sweep.
        jobs: gives those that are looked at; all of the store when omitted.
    """

    def __init__(
        self,
        objects: ObjectStore,
        lease: Lease,
        advance: Callable[[JobKeys], bool],
        times: SweepTimes | None = None,
        now: Callable[[], float] = time.monotonic,
        observer: SweepObserver | None = None,
        jobs: Callable[[], Iterable[JobKeys]] | None = None,
    ) -> None:
        self._objects = objects
        self._lease = lease
        self._advance = advance
        self._times = times or SweepTimes()
        self._now = now
        self._observer = observer
        self._jobs = jobs or self._all_jobs
        self._resting: dict[JobKeys, _Rest] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Sweep from now on, on a thread."""
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; another worker goes on."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self._lease.release()

    def sweep(self) -> int:
        """One look at every job that is not at rest, if this process may; how many were looked at."""
        started = self._now()
        if not self._lease.take():
            self._tell_rest()
            return 0
        num_looks, resting = 0, {}
        for keys in self._jobs():
            if self._closing.is_set() or not self._lease.take():
                self._tell_rest()
                return num_looks
            rest = self._resting.get(keys)
            if rest is None or self._now() >= rest.until:
                num_looks += 1
                rest = self._looked(keys, rest)
            if rest is not None:
                resting[keys] = rest
        self._resting = resting
        if self._observer is not None:
            self._observer.swept(started, self._now())
        return num_looks

    def _tell_rest(self) -> None:
        if self._observer is not None:
            self._observer.resting()

    def _run(self) -> None:
        while not self._closing.wait(self._times.sweep_seconds):
            try:
                self.sweep()
            except EurekaError as error:
                logger.warning("sweep_failed", extra={"reason": error.reason})
            except Exception:
                logger.exception("sweep_broken")

    def _looked(self, keys: JobKeys, rest: _Rest | None) -> _Rest | None:
        """What rest the job gets; None where there is work for it."""
        try:
            is_at_rest = not self._advance(keys)
        except InvalidInputError as error:  # a document that cannot be read must not stop the others
            logger.warning("job_unreadable", extra={"job_id": keys.job_id, "reason": error.reason})
            is_at_rest = True
        if not is_at_rest:
            return None
        pause = min(2 * rest.pause, self._times.quiet_seconds) if rest else self._times.sweep_seconds
        return _Rest(self._now() + pause, pause)

    def _all_jobs(self) -> Iterator[JobKeys]:
        for folder in self._folders(""):
            try:
                tenant = check_tenant(folder.rstrip("/"))
            except InvalidInputError:
                continue  # not ours
            for job_folder in self._folders(jobs_folder(tenant)):
                try:
                    yield JobKeys(tenant, job_id_of(job_folder))
                except InvalidInputError:
                    continue

    def _folders(self, prefix: str) -> Iterator[str]:
        start_after: str | None = ""
        while start_after is not None:
            page = self._objects.list_folders(prefix, start_after=start_after)
            yield from page.folders
            start_after = page.next_start_after
