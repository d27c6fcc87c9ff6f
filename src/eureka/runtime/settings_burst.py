"""The section of the settings for bursts, Kubernetes Jobs for large batches; `settings.py` reads it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from eureka.clients.cluster.bursts import BurstConfig
from eureka.errors import InvalidInputError
from eureka.runtime.settings_sections import FilePath, OptionalFile


class BurstSettings(BaseModel):
    """Whether the gateway makes bursts, and of what; and which batch the worker of one hears."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = Field(False)
    """Make a Kubernetes Job of workers for each large batch; the gateway needs rights for jobs.batch."""
    template: FilePath = Field(Path("/etc/eureka/burst/pod.yaml"), validate_default=True)
    """YAML of the pod, metadata and spec; its first container is the worker."""
    namespace: str = Field("default", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    """Where the jobs are made."""
    workers: int = Field(4, ge=1, le=1_000)
    """Pods of one batch, at most; a batch has no more than files."""
    min_children: int = Field(50, ge=1)
    """Files from which on a batch is large."""
    min_bytes: int = Field(2 << 30, ge=1)
    """Bytes of all files from which on a batch is large (2 GiB), however many files it has."""
    deadline_seconds: int = Field(21_600, ge=60)
    """Seconds after which the cluster ends a burst (6 h); other workers go on with the batch."""
    ttl_seconds: int = Field(3_600, ge=0)
    """Seconds until an ended burst is removed from the cluster (1 h)."""
    backoff_limit: int = Field(6, ge=0)
    """Pods of one burst that may fail; then it counts as failed."""
    start_seconds: float = Field(300.0, gt=0)
    """Seconds until the first worker of a burst must be there; then other workers hear the batch."""
    live_seconds: float = Field(30.0, gt=0)
    """Seconds without a word of any worker of a burst, after which others hear the batch."""
    owner: str = Field("", pattern=r"^((Deployment|ConfigMap)/[a-z0-9.-]{1,253})?$")
    """KIND/NAME with which bursts are removed; the gateway needs the right to get it. Empty: none."""
    kubeconfig: OptionalFile = Field(None, validate_default=True)
    """Of the cluster; without it the service account of the pod."""
    batch: str = Field("", pattern=r"^([A-Za-z0-9._-]{1,64}/[0-9a-f]{12}-[0-9a-f]{16})?$")
    """TENANT/ID of the batch that a worker of a burst hears; the gateway sets it."""

    def config(self) -> BurstConfig:
        """What `clients.cluster.bursts` takes."""
        return BurstConfig(
            self.template,
            self.namespace,
            self.workers,
            self.deadline_seconds,
            self.ttl_seconds,
            self.backoff_limit,
            self.owner,
        )

    def heard_batch(self) -> tuple[str, str]:
        """Tenant and id of the batch that a worker hears.

        Raises:
            InvalidInputError: reason NO_BATCH.
        """
        if not self.batch:
            message = "EUREKA_BURST__BATCH names no batch; python -m workers serves all lanes"
            raise InvalidInputError(message, reason="NO_BATCH")
        tenant, _, batch_id = self.batch.partition("/")
        return tenant, batch_id
