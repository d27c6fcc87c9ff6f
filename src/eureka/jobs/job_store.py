"""The documents of one job, read from and written to an object store; plans are kept, they never change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from eureka.errors import DataLossError, InvalidInputError, NotFoundError
from eureka.jobs.documents import JSON_TYPE, Fields, to_bytes
from eureka.jobs.outcome import Failure, WindowOutcome
from eureka.jobs.plan import JobPlan
from eureka.jobs.spec import JobSpec
from eureka.jobs.states import HEAD_BYTES, JobFacts, ResultHead, RoundFacts
from eureka.storage.keys import JobKeys, round_of, window_of
from eureka.storage.store import MAX_PAGE, ObjectStore

MARK_VERSION = 1
"""Of the documents that only say that something is wanted."""

KEPT_PLANS = 4
"""Plans kept in memory; one of ten hours takes 1.5 MB as a document."""

_HEAD_OBJECTS = 16
"""Objects of a round before its windows, and some to spare."""


@dataclass(frozen=True, slots=True)
class WindowRef:
    """One window of one round of a job."""

    keys: JobKeys
    round_number: int
    index: int

    @property
    def key(self) -> str:
        """Its object, and the name of its claim."""
        return self.keys.window(self.round_number, self.index)


class JobStore:
    """Typed access to the objects of jobs.

    Every method raises what `ObjectStore` raises, and InvalidInputError (INVALID_DOCUMENT) for documents
    that cannot be read.

    Args:
        objects: where they lie.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects
        self._plan = lru_cache(maxsize=KEPT_PLANS)(self._read_plan)
        self._spec = lru_cache(maxsize=KEPT_PLANS)(self._read_spec)

    def create(self, spec: JobSpec) -> bool:
        """Write the spec: from now on the job exists. Whether it did not before."""
        return self.objects.put_if_absent(spec.keys.spec, spec.to_bytes(), content_type=JSON_TYPE)

    def spec(self, keys: JobKeys) -> JobSpec:
        """What was asked.

        Raises:
            NotFoundError: there is no such job (JOB_NOT_FOUND).
        """
        return self._spec(keys)

    def plan(self, keys: JobKeys, round_number: int) -> JobPlan | None:
        """The plan of a round; None where there is none yet."""
        try:
            return self._plan(keys, round_number)
        except NotFoundError:
            return None

    def put_plan(self, keys: JobKeys, plan: JobPlan) -> bool:
        """Write a plan unless there is one; whether it was written."""
        key = keys.plan(plan.round_number)
        return self.objects.put_if_absent(key, plan.to_bytes(), content_type=JSON_TYPE)

    def outcome(self, ref: WindowRef) -> WindowOutcome | None:
        """What became of a window; None where it has not ended."""
        try:
            return WindowOutcome.from_bytes(self.objects.get(ref.key))
        except NotFoundError:
            return None

    def readable_outcome(self, ref: WindowRef) -> WindowOutcome | Failure | None:
        """As `outcome`; of a document that cannot be read, why."""
        try:
            return self.outcome(ref)
        except (DataLossError, InvalidInputError) as error:
            return Failure.of(error)

    def put_outcome(self, keys: JobKeys, outcome: WindowOutcome) -> bool:
        """Write the outcome of a window unless there is one; whether it was written."""
        key = keys.window(outcome.round_number, outcome.index)
        return self.objects.put_if_absent(key, outcome.to_bytes(), content_type=JSON_TYPE)

    def ended_windows(self, keys: JobKeys, round_number: int) -> frozenset[int]:
        """Indices of the windows of a round that have ended."""
        found = (window_of(key) for key in self.keys_below(keys.windows_folder(round_number)))
        return frozenset(index for index in found if index is not None)

    def keys_below(self, folder: str) -> Iterator[str]:
        """All keys below a folder, in order."""
        start_after: str | None = ""
        while start_after is not None:
            page = self.objects.list_objects(folder, start_after=start_after, limit=MAX_PAGE)
            yield from (info.key for info in page.objects)
            start_after = page.next_start_after

    def rounds(self, keys: JobKeys) -> tuple[int, ...]:
        """Numbers of the rounds that hold anything, in order."""
        found: list[int] = []
        start_after: str | None = ""
        while start_after is not None:
            page = self.objects.list_folders(keys.rounds_folder, start_after=start_after)
            found += [number for folder in page.folders if (number := round_of(folder)) is not None]
            start_after = page.next_start_after
        return tuple(found)

    def facts(self, keys: JobKeys) -> JobFacts:
        """What `state_of` needs, by a handful of requests whatever the length of the audio."""
        rounds = self.rounds(keys)
        return JobFacts(
            has_spec=self.objects.exists(keys.spec),
            is_deleted=self.objects.exists(keys.delete),
            cancelled_round=self.cancelled_round(keys),
            latest=self._round_facts(keys, rounds[-1]) if rounds else None,
        )

    def cancel(self, keys: JobKeys) -> None:
        """Ask that the job's latest round ends; a later round is not meant."""
        rounds = self.rounds(keys)
        mark = {"version": MARK_VERSION, "round": rounds[-1] if rounds else 1}
        self.objects.put(keys.cancel, to_bytes(mark), content_type=JSON_TYPE)

    def cancelled_round(self, keys: JobKeys) -> int:
        """The latest round that somebody asked to end; 0 where nobody did."""
        try:
            given = Fields.of_bytes(self.objects.get(keys.cancel), "cancel.json", MARK_VERSION)
        except NotFoundError:
            return 0
        return given.integer("round")

    def is_stopped(self, keys: JobKeys, round_number: int) -> bool:
        """Whether work on a round is in vain: it is cancelled, or the job is being deleted or gone."""
        if self.cancelled_round(keys) >= round_number or self.objects.exists(keys.delete):
            return True
        return not self.objects.exists(keys.spec)

    def result(self, keys: JobKeys, round_number: int, form: str = "json") -> bytes | None:
        """A result as it was written; None where there is none yet."""
        try:
            return self.objects.get(keys.result(round_number, form))
        except NotFoundError:
            return None

    def result_head(self, keys: JobKeys, round_number: int) -> ResultHead | None:
        """What the result of a round says of the job's end; None where there is none yet."""
        try:
            with self.objects.open(keys.result(round_number)) as reader:
                start = reader.read(HEAD_BYTES)
                return ResultHead.from_start(start) or ResultHead.from_bytes(start + reader.read())
        except NotFoundError:
            return None

    def _round_facts(self, keys: JobKeys, number: int) -> RoundFacts:
        folder = keys.round_folder(number)
        page = self.objects.list_objects(folder, limit=_HEAD_OBJECTS)
        present = {info.key for info in page.objects}
        head = self.result_head(keys, number) if keys.result(number) in present else None
        return RoundFacts(number, keys.plan(number) in present, head)

    def _read_plan(self, keys: JobKeys, round_number: int) -> JobPlan:
        return JobPlan.from_bytes(self.objects.get(keys.plan(round_number)))

    def _read_spec(self, keys: JobKeys) -> JobSpec:
        try:
            return JobSpec.from_bytes(self.objects.get(keys.spec))
        except NotFoundError as error:
            message = f"there is no job {keys.job_id}"
            raise NotFoundError(message, reason="JOB_NOT_FOUND") from error
