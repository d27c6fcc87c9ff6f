"""Jobs as they stand, from the object store; what cannot change is remembered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from eureka.clients.cluster.bursts import BurstStatus
from eureka.errors import NotFoundError
from eureka.jobs.batch import Batch, batch_key, is_batch_id, parent_id, read_batch, rolled_up
from eureka.jobs.job_store import JobStore
from eureka.jobs.outcome import Failure
from eureka.jobs.progress import progress_of
from eureka.jobs.reading import JobView, view_of
from eureka.jobs.spec import JobSpec
from eureka.jobs.states import JobFacts, JobState, ResultHead, RoundFacts, state_of
from eureka.storage.keys import JobKeys, round_of
from eureka.storage.store import ObjectInfo

S = TypeVar("S")
T = TypeVar("T")

KEPT_SPECS, KEPT_ENDS, KEPT_BATCHES = 2_048, 16_384, 64
"""Kept in memory: some hundred bytes each, a batch some hundred kilobytes."""

FEW_OBJECTS = 128
"""Objects of a job that are listed to see how it stands: a quarter of an hour of audio in one round."""

FindBurst = Callable[[str, str], BurstStatus | None]

_UNHEARD = ("CANCELLED", "DEADLINE")
"""Endings of spans that nobody was at."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a job is: seconds of audio, and windows."""

    ended_seconds: float = 0.0
    total_seconds: float = 0.0
    num_ended: int = 0
    num_windows: int = 0

    def __add__(self, other: Extent) -> Extent:
        return Extent(
            self.ended_seconds + other.ended_seconds,
            self.total_seconds + other.total_seconds,
            self.num_ended + other.num_ended,
            self.num_windows + other.num_windows,
        )


@dataclass(frozen=True, slots=True)
class RoundEnd:
    """What a result says of its round, without the text."""

    state: JobState
    extent: Extent
    reasons: tuple[str, ...]
    failure: Failure | None

    @classmethod
    def from_bytes(cls, content: bytes) -> RoundEnd:
        """That of a result.

        Raises:
            InvalidInputError: reason INVALID_DOCUMENT.
        """
        state = ResultHead.from_bytes(content).state
        plain: dict[str, Any] = json.loads(content)
        error = plain.get("error")
        failure = Failure(**error) if error else None
        return cls(state, _extent_of_rows(plain["coverage"]), tuple(plain["reasons"]), failure)


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """A job at one moment.

    Attributes:
        spec: what was asked; of a batch what all children have in common.
        state: where it stands.
        extent: how far it is.
        round_number: the latest; 0 for a batch.
        parent: id of the batch that it belongs to.
        end: of the latest round; None while it runs, and for a batch.
        view: what is planned and ended; None before the plan, and where `end` says all.
        children: of a batch how many stand where; None counts deleted ones.
        burst: workers of a batch's own, while it has not ended; None without them.
    """

    spec: JobSpec
    state: JobState
    extent: Extent
    round_number: int = 0
    parent: str | None = None
    end: RoundEnd | None = None
    view: JobView | None = None
    children: Counter[JobState | None] | None = None
    burst: BurstStatus | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """What lies in the folder of a job.

    Attributes:
        mark: of its spec; another one for a job that was deleted and made again.
        is_deleted: somebody asked to delete it.
        may_be_cancelled: whether cancel.json is worth reading.
        rounds: numbers of its rounds.
        objects: keys of all its objects; None where there are too many to list.
    """

    mark: str
    is_deleted: bool
    may_be_cancelled: bool
    rounds: tuple[int, ...]
    objects: frozenset[str] | None


class JobReader:
    """Reads jobs, for any number of threads. Methods block and raise what the store raises.

    Args:
        jobs: documents of jobs.
        threads: read several jobs at a time; nothing else runs there.
        few_objects: objects of a job that are listed to see how it stands; see `FEW_OBJECTS`.
        find_burst: how the workers of a batch's own stand, by tenant and id; None where nobody makes any.
    """

    def __init__(
        self,
        jobs: JobStore,
        threads: ThreadPoolExecutor,
        few_objects: int = FEW_OBJECTS,
        find_burst: FindBurst | None = None,
    ) -> None:
        self.jobs = jobs
        self._threads = threads
        self._few_objects = few_objects
        self._find_burst = find_burst
        # A job that was deleted and made again has another spec object, and so other entries here.
        self._spec = lru_cache(KEPT_SPECS)(self._read_spec)
        self._end = lru_cache(KEPT_ENDS)(self._read_end)
        self._batch = lru_cache(KEPT_BATCHES)(self._read_batch)

    def read(self, tenant: str, job_id: str) -> JobSnapshot:
        """A job or a batch.

        Raises:
            NotFoundError: reason JOB_NOT_FOUND.
        """
        found = self.find(tenant, job_id)
        if found is None:
            raise NotFoundError(f"there is no job {job_id}", reason="JOB_NOT_FOUND")
        return found

    def find(self, tenant: str, job_id: str) -> JobSnapshot | None:
        """As `read`; None where there is no such job."""
        return self._roll_up(tenant, job_id) if is_batch_id(job_id) else self._one(JobKeys(tenant, job_id))

    def find_all(self, tenant: str, job_ids: Iterable[str]) -> list[JobSnapshot | None]:
        """Several, in their order."""
        return self.side_by_side(lambda job_id: self._one(JobKeys(tenant, job_id)), job_ids)

    def each(self, tenant: str, job_ids: Sequence[str]) -> Iterator[JobSnapshot | None]:
        """Jobs and batches in their order: jobs side by side, batches one by one, as their children are."""
        singles = iter(self.find_all(tenant, [one for one in job_ids if not is_batch_id(one)]))
        for job_id in job_ids:
            yield self.find(tenant, job_id) if is_batch_id(job_id) else next(singles)

    def side_by_side(self, work: Callable[[S], T], items: Iterable[S]) -> list[T]:
        """Results of `work`, which must not ask for this itself, in the order of the items."""
        return list(self._threads.map(work, items))

    def batch(self, tenant: str, job_id: str) -> Batch:
        """The batch of that id.

        Raises:
            NotFoundError: reason JOB_NOT_FOUND.
        """
        try:
            etag = self.jobs.objects.stat(batch_key(tenant, job_id)).etag
        except NotFoundError as error:
            raise NotFoundError(f"there is no job {job_id}", reason="JOB_NOT_FOUND") from error
        return self._batch(tenant, job_id, etag)

    def view(self, snapshot: JobSnapshot) -> JobView | None:
        """What is planned and ended of it."""
        return snapshot.view or view_of(self.jobs, snapshot.spec.keys)

    def _one(self, keys: JobKeys) -> JobSnapshot | None:
        found = self._found(keys)
        if found is None:
            return None
        number = found.rounds[-1] if found.rounds else 1
        end = self._end_of(keys, number, found)
        facts = JobFacts(
            has_spec=True,
            is_deleted=found.is_deleted,
            cancelled_round=self.jobs.cancelled_round(keys) if found.may_be_cancelled and not end else 0,
            latest=self._round(keys, number, end) if found.rounds else None,
        )
        state = state_of(facts)
        spec = _or_none(lambda: self._spec(keys, found.mark))
        if state is None or spec is None:
            return None
        view = view_of(self.jobs, keys) if end is None and found.rounds else None
        extent = end.extent if end else extent_of(view)
        return JobSnapshot(spec, state, extent, number, self._parent(keys), end, view)

    def _found(self, keys: JobKeys) -> _Found | None:
        """What lies in the folder of a job: by one request, unless it holds many windows."""
        page = self.jobs.objects.list_objects(keys.folder, limit=self._few_objects)
        if page.next_start_after is not None:
            return self._found_among_many(keys)
        objects = {info.key: info for info in page.objects}
        if keys.spec not in objects:
            return None
        return _Found(
            mark=_mark(objects[keys.spec]),
            is_deleted=keys.delete in objects,
            may_be_cancelled=keys.cancel in objects,
            rounds=tuple(sorted({n for key in objects if (n := round_of(key)) is not None})),
            objects=frozenset(objects),
        )

    def _found_among_many(self, keys: JobKeys) -> _Found | None:
        made = _or_none(lambda: self.jobs.objects.stat(keys.spec))
        if made is None:
            return None
        is_deleted, rounds = self.jobs.objects.exists(keys.delete), self.jobs.rounds(keys)
        return _Found(_mark(made), is_deleted, True, rounds, None)

    def _end_of(self, keys: JobKeys, number: int, found: _Found) -> RoundEnd | None:
        if not found.rounds or (found.objects is not None and keys.result(number) not in found.objects):
            return None
        return _or_none(lambda: self._end(keys, number, found.mark))

    def _round(self, keys: JobKeys, number: int, end: RoundEnd | None) -> RoundFacts:
        has_plan = end is not None or self.jobs.plan(keys, number) is not None
        return RoundFacts(number, has_plan, ResultHead(end.state) if end else None)

    def _roll_up(self, tenant: str, job_id: str) -> JobSnapshot | None:
        try:
            batch = self.batch(tenant, job_id)
        except NotFoundError:
            return None
        children = self.find_all(tenant, batch.child_ids())
        states = [child.state if child else None for child in children]
        extent = sum((child.extent for child in children if child), Extent())
        state = rolled_up(states)
        burst = self._find_burst(tenant, job_id) if self._find_burst and not state.is_final else None
        return JobSnapshot(batch.spec, state, extent, children=Counter(states), burst=burst)

    def _parent(self, keys: JobKeys) -> str | None:
        """Id of the batch, looked for only where the job's own id may be a child's."""
        parent = parent_id(keys.job_id)
        if parent is None or not self.jobs.objects.exists(batch_key(keys.tenant, parent)):
            return None
        return parent

    def _read_spec(self, keys: JobKeys, mark: str) -> JobSpec:
        return JobSpec.from_bytes(self.jobs.objects.get(keys.spec))

    def _read_end(self, keys: JobKeys, number: int, mark: str) -> RoundEnd:
        return RoundEnd.from_bytes(self.jobs.objects.get(keys.result(number)))

    def _read_batch(self, tenant: str, job_id: str, etag: str) -> Batch:
        return read_batch(self.jobs.objects, tenant, job_id)


def extent_of(view: JobView | None) -> Extent:
    """How far a running job is."""
    if view is None:
        return Extent()
    progress, ended = progress_of(view), view.ended_now()
    num_ended = sum(window.is_silent or window.index in ended for window in view.windows)
    return Extent(progress.ended_seconds, progress.total_seconds, num_ended, len(view.windows))


def _mark(spec: ObjectInfo) -> str:
    """Tells two specs of one key apart, to the second: listings and heads of requests agree on no more."""
    return f"{spec.etag} {int(spec.modified_time.timestamp())}"


def _extent_of_rows(rows: Sequence[dict[str, Any]]) -> Extent:
    """How far a job came that has ended, by its ledger."""
    heard = [row for row in rows if row["ending"] not in _UNHEARD]
    return Extent(
        sum(row["end"] - row["start"] for row in heard),
        sum(row["end"] - row["start"] for row in rows),
        len({row["window"] for row in heard}),
        len({row["window"] for row in rows}),
    )


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except NotFoundError:
        return None
