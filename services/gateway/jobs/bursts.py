"""Bursts of the gateway: which batches get workers of their own, and how those stand.

A burst saves time only. One that cannot be made, or whose workers go, leaves the batch to all workers; why it
could not be made is kept beside the batch, for whoever looks at it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from eureka.clients.cluster.bursts import BurstState, BurstStatus, burst_name
from eureka.clients.task_queue import burst_lane
from eureka.errors import EurekaError, NotFoundError
from eureka.jobs.batch import Batch, batch_key
from eureka.jobs.documents import JSON_TYPE, to_bytes
from eureka.storage.store import ObjectStore

logger = logging.getLogger(f"eureka.{__name__}")

BURST_VERSION = 1
"""Raised when a field changes its meaning."""


class BurstCluster(Protocol):
    """What is asked of the cluster; methods block and raise EurekaError."""

    def create(self, tenant: str, batch_id: str, num_children: int) -> str:
        """Make the job of a batch, or find it made; its name."""
        ...

    def delete(self, batch_id: str) -> None:
        """End it, where there is one."""
        ...

    def find(self, batch_id: str) -> BurstStatus | None:
        """How it stands; None without one."""
        ...

    def close(self) -> None:
        """Ask no more."""
        ...


class BurstRecord(Protocol):
    """Who tells workers which batches have workers of their own."""

    def mark(self, tenant: str, batch_id: str, seconds: float) -> None:
        """It has, or will have."""
        ...

    def clear(self, tenant: str, batch_id: str) -> None:
        """It has none any more."""
        ...


@dataclass(frozen=True, slots=True)
class BurstPolicy:
    """Which batches are large.

    Attributes:
        min_children: files from which on one is.
        min_bytes: of all files together, likewise.
        start_seconds: until its workers must be there.
    """

    min_children: int
    min_bytes: int
    start_seconds: float

    def is_large(self, num_children: int, num_bytes: int) -> bool:
        """Whether a batch gets workers of its own."""
        return num_children >= self.min_children or num_bytes >= self.min_bytes


@dataclass(frozen=True, slots=True)
class Bursts:
    """Makes, ends and shows bursts; methods block, and never raise for the cluster's sake.

    Attributes:
        cluster: where they run.
        record: see there.
        objects: hold why one could not be made.
        policy: which batches get one.
    """

    cluster: BurstCluster
    record: BurstRecord
    objects: ObjectStore
    policy: BurstPolicy

    def begin(self, batch: Batch, num_bytes: int) -> str | None:
        """Give a large batch workers of its own; their lane, None where all workers hear it."""
        spec, num_children = batch.spec, len(batch.object_keys)
        if not self.policy.is_large(num_children, num_bytes):
            return None
        try:
            self.cluster.create(spec.tenant, batch.job_id, num_children)
        except EurekaError as error:
            logger.warning("burst_not_created", extra={"job_id": batch.job_id, "reason": error.reason})
            self._keep_failure(spec.tenant, batch.job_id, error)
            return None
        self.record.mark(spec.tenant, batch.job_id, self.policy.start_seconds)
        return burst_lane(batch.job_id)

    def end(self, tenant: str, batch_id: str) -> None:
        """End the workers of a batch that is cancelled or deleted."""
        self.record.clear(tenant, batch_id)
        try:
            self.cluster.delete(batch_id)
        except EurekaError as error:  # they end by themselves: the batch has
            logger.warning("burst_not_deleted", extra={"job_id": batch_id, "reason": error.reason})

    def forget(self, tenant: str, batch_id: str) -> None:
        """Remove what is kept beside the batch."""
        self.objects.delete(_failure_key(tenant, batch_id))

    def find(self, tenant: str, batch_id: str) -> BurstStatus | None:
        """How the burst of a batch stands; None without one, and where the cluster does not say."""
        found: BurstStatus | None = None
        try:
            found = self.cluster.find(batch_id)
        except EurekaError as error:
            logger.warning("burst_not_read", extra={"job_id": batch_id, "reason": error.reason})
        return found or self._failure(tenant, batch_id)

    def close(self) -> None:
        """Ask no more."""
        self.cluster.close()

    def _keep_failure(self, tenant: str, batch_id: str, error: EurekaError) -> None:
        plain = {"version": BURST_VERSION, "reason": error.reason, "message": error.message}
        try:
            self.objects.put(_failure_key(tenant, batch_id), to_bytes(plain), content_type=JSON_TYPE)
        except EurekaError as failure:
            logger.warning("burst_failure_not_kept", extra={"job_id": batch_id, "reason": failure.reason})

    def _failure(self, tenant: str, batch_id: str) -> BurstStatus | None:
        try:
            plain: dict[str, Any] = json.loads(self.objects.get(_failure_key(tenant, batch_id)))
        except NotFoundError:
            return None
        reason, message = str(plain.get("reason", "")), str(plain.get("message", ""))
        name = burst_name(batch_id)
        return BurstStatus(name, batch_id, BurstState.FAILED, reason=reason, message=message)


def _failure_key(tenant: str, batch_id: str) -> str:
    return batch_key(tenant, batch_id).removesuffix("batch.json") + "burst.json"


@dataclass(frozen=True, slots=True)
class WatchedCluster:
    """`BurstCluster` whose looks cost no request while its watch is current.

    Attributes:
        jobs: makes, deletes, and looks where the watch does not know.
        watched: what the watch knows; None where it knows nothing, or is behind.
        stop: ends the watch.
    """

    jobs: BurstCluster
    watched: Callable[[str], BurstStatus | None]
    stop: Callable[[], None]

    def create(self, tenant: str, batch_id: str, num_children: int) -> str:
        """As `BurstCluster`."""
        return self.jobs.create(tenant, batch_id, num_children)

    def delete(self, batch_id: str) -> None:
        """As `BurstCluster`."""
        self.jobs.delete(batch_id)

    def find(self, batch_id: str) -> BurstStatus | None:
        """As `BurstCluster`."""
        return self.watched(batch_id) or self.jobs.find(batch_id)

    def close(self) -> None:
        """As `BurstCluster`."""
        self.stop()
        self.jobs.close()
