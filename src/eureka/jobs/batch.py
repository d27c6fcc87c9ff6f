"""Batches: one parent over many files, each heard by a child job of its own.

    {tenant}/batches/{job}/batch.json     the parent: what its children hear, written once, before them
    {tenant}/jobs/{child}/...             each child, a job like any other

Ids of children follow from that of the parent, so that listings can pass over them, and that a creation which
was killed is finished by doing it again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from eureka.errors import NotFoundError
from eureka.jobs.documents import JSON_TYPE, Fields, to_bytes
from eureka.jobs.spec import JobSpec
from eureka.jobs.states import JobState
from eureka.storage.keys import check_job_id, check_tenant, new_job_id
from eureka.storage.store import ObjectStore

BATCH_VERSION = 1
"""Raised when a field changes its meaning."""

MAX_CHILDREN = 1_000
"""Files of one batch: its roll-up looks at each."""

_PARENT_TAIL = "ffffffff"
_BATCH_ID = re.compile(r"[0-9a-f]{12}-[0-9a-f]{8}ffffffff")
_CHILD_ID = re.compile(r"([0-9a-f]{12}-[0-9a-f]{8})0000[0-9a-f]{4}")
_SINGLE_BYTE = b"\x01"


@dataclass(frozen=True, slots=True)
class Batch:
    """A parent and what its children hear.

    Attributes:
        spec: what all children have in common, under the id of the parent.
        object_keys: of each child, in order; full keys of the store.
        names: of each child.
    """

    spec: JobSpec
    object_keys: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def job_id(self) -> str:
        """Id of the parent."""
        return self.spec.job_id

    def child_ids(self) -> tuple[str, ...]:
        """Ids of the children, in order."""
        return tuple(child_id(self.job_id, index) for index in range(len(self.object_keys)))

    def child_specs(self) -> tuple[JobSpec, ...]:
        """What each child is asked to do."""
        return tuple(
            replace(self.spec, job_id=job_id, source_key=key, source_name=name)
            for job_id, key, name in zip(self.child_ids(), self.object_keys, self.names, strict=True)
        )

    def to_bytes(self) -> bytes:
        """The document batch.json."""
        return to_bytes(
            {
                "version": BATCH_VERSION,
                "spec": self.spec.to_bytes().decode(),
                "object_keys": list(self.object_keys),
                "names": list(self.names),
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Batch:
        """The batch that a document holds.

        Raises:
            InvalidInputError: reason INVALID_DOCUMENT or INVALID_SPEC.
        """
        given = Fields.of_bytes(content, "batch.json", BATCH_VERSION)
        spec = JobSpec.from_bytes(given.text("spec").encode())
        batch = cls(spec, given.strings("object_keys"), given.strings("names"))
        given.end()
        return batch


def batches_folder(tenant: str) -> str:
    """All batches of a tenant lie below, newest first.

    Raises:
        InvalidInputError: reason INVALID_TENANT.
    """
    return f"{check_tenant(tenant)}/batches/"


def batch_key(tenant: str, job_id: str) -> str:
    """Where the document of a batch lies.

    Raises:
        InvalidInputError: reason INVALID_TENANT or INVALID_JOB_ID.
    """
    return f"{batches_folder(tenant)}{check_job_id(job_id)}/batch.json"


def is_batch_id(job_id: str) -> bool:
    """Whether the id is one of `new_batch_id`."""
    return _BATCH_ID.fullmatch(job_id) is not None


def new_batch_id(now: datetime, random: bytes) -> str:
    """An id of a parent; arguments as of `new_job_id`."""
    return new_job_id(now, random[:4] + bytes.fromhex(_PARENT_TAIL))


def new_single_id(now: datetime, random: bytes) -> str:
    """An id that is neither a parent's nor a child's; arguments as of `new_job_id`."""
    return new_job_id(now, random[:4] + _SINGLE_BYTE + random[5:])


def child_id(parent_id: str, index: int) -> str:
    """Id of a child, by its place in the batch."""
    assert 0 <= index < MAX_CHILDREN, "the caller counts"
    return f"{parent_id.removesuffix(_PARENT_TAIL)}{index:08x}"


def parent_id(job_id: str) -> str | None:
    """Id that the parent of a child has; None for ids that no child has. The parent may not exist."""
    match = _CHILD_ID.fullmatch(job_id)
    return f"{match[1]}{_PARENT_TAIL}" if match else None


def last_child_id(parent: str) -> str:
    """The highest id that a child may have, to pass over all of them."""
    return f"{parent.removesuffix(_PARENT_TAIL)}0000ffff"


def read_batch(objects: ObjectStore, tenant: str, job_id: str) -> Batch:
    """The batch.

    Raises:
        NotFoundError: reason JOB_NOT_FOUND.
        EurekaError: the store is away.
    """
    try:
        return Batch.from_bytes(objects.get(batch_key(tenant, job_id)))
    except NotFoundError as error:
        raise NotFoundError(f"there is no job {job_id}", reason="JOB_NOT_FOUND") from error


def create_batch(objects: ObjectStore, batch: Batch) -> Batch:
    """Write the parent, then each child; done again, it goes on where it was killed.

    Returns:
        The batch that stands: that of the first writer.
    """
    spec = batch.spec
    key = batch_key(spec.tenant, spec.job_id)
    if not objects.put_if_absent(key, batch.to_bytes(), content_type=JSON_TYPE):
        batch = read_batch(objects, spec.tenant, spec.job_id)
    for child in batch.child_specs():
        objects.put_if_absent(child.keys.spec, child.to_bytes(), content_type=JSON_TYPE)
    return batch


def rolled_up(children: Iterable[JobState | None]) -> JobState:
    """State of a parent; children that were deleted (None) play no part."""
    counts = Counter(state for state in children if state is not None)
    if not counts or set(counts) == {JobState.PENDING}:
        return JobState.PENDING if counts else JobState.CANCELLED
    if not all(state.is_final for state in counts):
        return JobState.RUNNING
    if len(counts) == 1:
        return next(iter(counts))
    if JobState.SUCCEEDED in counts or JobState.PARTIAL in counts:
        return JobState.PARTIAL
    return JobState.CANCELLED


def common_start(names: Sequence[str]) -> str:
    """What all names begin with, up to a slash; a name for the batch."""
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind("/", 0, same) + 1]
