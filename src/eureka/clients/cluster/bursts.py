"""Kubernetes Jobs of workers, one for each large batch, bound to that batch's own queue.

The name follows from the batch, so that making one twice makes one: 409 is success. What the pods are comes
from a template that an operator wrote, or the Helm chart rendered; here its worker gets the batch, and the
Job its deadline, its tries, its life after the end, its owner and its labels.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from eureka.clients.cluster.connection import REQUEST_SECONDS, cluster_errors
from eureka.errors import (
    AlreadyExistsError,
    EurekaError,
    InvalidInputError,
    NotFoundError,
    StageUnavailableError,
)

logger = logging.getLogger(__name__)

BATCH_LABEL, TENANT_LABEL = "eureka.audio/batch", "eureka.audio/tenant"
MANAGED_BY = {"app.kubernetes.io/managed-by": "eureka-gateway", "app.kubernetes.io/component": "burst"}
"""Labels of all burst jobs, and of no others."""

BATCH_VARIABLE = "EUREKA_BURST__BATCH"
"""By which a worker learns its batch, TENANT/ID."""

MAX_ATTEMPTS = 3
"""Of making or deleting: whatever the first one came to, the next has the same outcome."""


class BurstState(StrEnum):
    """Where a burst job stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class BurstConfig:
    """How bursts are made.

    Attributes:
        template: YAML file of a pod: metadata and spec; its first container is the worker.
        namespace: of the jobs.
        workers: pods of one batch at most.
        deadline_seconds: after which the cluster ends a burst; the batch goes on by other workers.
        ttl_seconds: until an ended one is removed.
        backoff_limit: pods that may fail.
        owner: KIND/NAME (Deployment or ConfigMap) with which bursts are removed; empty for none.
    """

    template: Path
    namespace: str
    workers: int = 4
    deadline_seconds: int = 21_600
    ttl_seconds: int = 3_600
    backoff_limit: int = 6
    owner: str = ""


@dataclass(frozen=True, slots=True)
class BurstStatus:
    """A burst job as it stands.

    Attributes:
        name: of the Kubernetes Job.
        batch: id of the batch.
        state: where it stands.
        num_active, num_ready, num_succeeded, num_failed: pods.
        reason, message: why it failed; empty otherwise.
    """

    name: str
    batch: str
    state: BurstState
    num_active: int = 0
    num_ready: int = 0
    num_succeeded: int = 0
    num_failed: int = 0
    reason: str = ""
    message: str = ""


def burst_name(batch_id: str) -> str:
    """Name of a batch's job, 42 letters."""
    return f"eureka-burst-{batch_id}"


@dataclass(slots=True)
class BurstJobs:
    """Makes and removes burst jobs; methods block, for any number of threads.

    Attributes:
        api: a `kubernetes.client.ApiClient`.
        config: see there.
    """

    api: Any
    config: BurstConfig
    _owner: dict[str, Any] | None = field(default=None, init=False)

    def create(self, tenant: str, batch_id: str, num_children: int) -> str:
        """Make the job of a batch, or find it made; its name.

        Raises:
            EurekaError: as `cluster_errors`; reason INVALID_BURST_TEMPLATE.
        """
        manifest = job_manifest(self.config, self._template(), tenant, batch_id, num_children)
        if owner := self._owner_reference():
            manifest["metadata"]["ownerReferences"] = [owner]
        try:
            self._tried(
                "create jobs",
                lambda: self._batch().create_namespaced_job(
                    self.config.namespace, manifest, _request_timeout=REQUEST_SECONDS
                ),
            )
        except AlreadyExistsError:
            logger.info("burst_known", extra={"job_id": batch_id})
        else:
            logger.info("burst_created", extra={"job_id": batch_id, "num_children": num_children})
        return burst_name(batch_id)

    def delete(self, batch_id: str) -> None:
        """End the pods of a batch and remove its job; nothing where there is none.

        Raises:
            EurekaError: as `cluster_errors`.
        """
        try:
            self._tried(
                "delete jobs",
                lambda: self._batch().delete_namespaced_job(
                    burst_name(batch_id),
                    self.config.namespace,
                    propagation_policy="Background",
                    _request_timeout=REQUEST_SECONDS,
                ),
            )
        except NotFoundError:
            return
        logger.info("burst_deleted", extra={"job_id": batch_id})

    def find(self, batch_id: str) -> BurstStatus | None:
        """The job of a batch; None without one.

        Raises:
            EurekaError: as `cluster_errors`.
        """
        try:
            with cluster_errors(self._what("get jobs")):
                return status_of(
                    self._batch().read_namespaced_job(
                        burst_name(batch_id), self.config.namespace, _request_timeout=REQUEST_SECONDS
                    )
                )
        except NotFoundError:
            return None

    def close(self) -> None:
        """Close the connections."""
        self.api.close()

    def _tried(self, what: str, ask: Any) -> None:
        for left in reversed(range(MAX_ATTEMPTS)):
            try:
                with cluster_errors(self._what(what)):
                    return _unless_there(ask)
            except StageUnavailableError:
                if left == 0:
                    raise

    def _what(self, what: str) -> str:
        return f"{what} in namespace {self.config.namespace}"

    def _batch(self) -> Any:
        from kubernetes import client

        return client.BatchV1Api(self.api)

    def _template(self) -> dict[str, Any]:
        import yaml

        path = self.config.template
        try:
            pod = yaml.safe_load(path.read_text(encoding="utf-8"))
            pod["spec"]["containers"][0]["name"]
        except (OSError, yaml.YAMLError, KeyError, IndexError, TypeError) as error:
            message = f"{path} is no template of a pod with a container: {error}"
            raise InvalidInputError(message, reason="INVALID_BURST_TEMPLATE") from error
        found: dict[str, Any] = pod
        return found

    def _owner_reference(self) -> dict[str, Any] | None:
        """With whom the jobs are removed; asked for once, left out where it may not be read."""
        if self._owner is not None or not self.config.owner:
            return self._owner
        kind, _, name = self.config.owner.partition("/")
        try:
            with cluster_errors(self._what(f"get {self.config.owner}")):
                found = self._read_owner(kind, name)
        except EurekaError as error:
            logger.warning("burst_without_owner", extra={"owner": self.config.owner, "reason": error.reason})
            return None
        version = "apps/v1" if kind == "Deployment" else "v1"
        self._owner = {"apiVersion": version, "kind": kind, "name": name, "uid": found.metadata.uid}
        return self._owner

    def _read_owner(self, kind: str, name: str) -> Any:
        from kubernetes import client

        apps, core = client.AppsV1Api(self.api), client.CoreV1Api(self.api)
        read: Any = (
            apps.read_namespaced_deployment if kind == "Deployment" else core.read_namespaced_config_map
        )
        return read(name, self.config.namespace, _request_timeout=REQUEST_SECONDS)


def job_manifest(
    config: BurstConfig, template: Mapping[str, Any], tenant: str, batch_id: str, num_children: int
) -> dict[str, Any]:
    """The Job of a batch: no more pods than it has children, each until the batch has ended."""
    pod = copy.deepcopy(dict(template))
    own = {BATCH_LABEL: batch_id, TENANT_LABEL: tenant.rstrip("-")}  # labels end with a letter or a digit
    labels = {**MANAGED_BY, **own}
    metadata = pod.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **own}
    spec = pod["spec"]
    spec.setdefault("restartPolicy", "OnFailure")
    worker = spec["containers"][0]
    given = [one for one in worker.get("env") or [] if one["name"] != BATCH_VARIABLE]
    worker["env"] = [*given, {"name": BATCH_VARIABLE, "value": f"{tenant}/{batch_id}"}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": burst_name(batch_id), "namespace": config.namespace, "labels": labels},
        "spec": {
            "parallelism": max(1, min(config.workers, num_children)),
            "backoffLimit": config.backoff_limit,
            "activeDeadlineSeconds": config.deadline_seconds,
            "ttlSecondsAfterFinished": config.ttl_seconds,
            "template": pod,
        },
    }


def status_of(job: Any) -> BurstStatus:
    """The status of a `kubernetes.client.V1Job`."""
    status, labels = job.status, job.metadata.labels or {}
    held = {one.type: one for one in (status.conditions or []) if one.status == "True"} if status else {}
    failed = held.get("Failed") or held.get("FailureTarget")
    num_active, num_ready = (status.active or 0, status.ready or 0) if status else (0, 0)
    if failed is not None:
        state = BurstState.FAILED
    elif "Complete" in held or "SuccessCriteriaMet" in held:
        state = BurstState.SUCCEEDED
    else:
        state = BurstState.RUNNING if num_ready else BurstState.PENDING
    return BurstStatus(
        job.metadata.name,
        labels.get(BATCH_LABEL, ""),
        state,
        num_active,
        num_ready,
        (status.succeeded or 0) if status else 0,
        (status.failed or 0) if status else 0,
        (failed.reason or "") if failed else "",
        (failed.message or "") if failed else "",
    )


def _unless_there(ask: Any) -> None:
    from kubernetes.client import ApiException

    try:
        ask()
    except ApiException as error:
        if error.status == 409:
            raise AlreadyExistsError("it is there already", reason="BURST_EXISTS") from error
        raise
