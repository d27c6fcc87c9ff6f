"""The sections of the settings for background work: the queue, and the workers.

Each field has its default, its unit where it has one, and a line of meaning. `settings.py` reads them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from eureka.clients.task_queue import QueueConfig
from eureka.errors import InvalidInputError
from eureka.runtime.settings_sections import Host, Port, VisibleSecret

_LANE = "(interactive|default|bulk)"
_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _redis_url(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("redis://", "rediss://")):
        raise ValueError("the queue is at redis:// or rediss://")
    return url


class QueueSettings(BaseModel):
    """The queue of background work; it may be lost at any time, the object store is the truth."""

    model_config = _FROZEN

    url: Annotated[VisibleSecret, AfterValidator(_redis_url)] = Field(SecretStr("redis://127.0.0.1:6390/0"))
    """redis://[:password@]host:port/database, or a Valkey; never printed. The local stack has its own."""
    key_prefix: str = Field("eureka:", pattern=r"^[a-z0-9-]+:$")
    """Before all keys, for platforms that share one Redis."""
    visibility_seconds: float = Field(1_800.0, gt=0)
    """Seconds after which an unacknowledged message comes again (30 min); above the longest task."""
    restore_interval_seconds: float = Field(5.0, gt=0)
    """Seconds between two looks for such messages."""

    def config(self) -> QueueConfig:
        """What `clients.task_queue` takes."""
        return QueueConfig(
            self.url.get_secret_value(),
            self.key_prefix,
            self.visibility_seconds,
            self.restore_interval_seconds,
        )


class JobSettings(BaseModel):
    """What callers may have of jobs, at the gateway."""

    model_config = _FROZEN

    max_unfinished: int = Field(4_000, ge=1)
    """Files of one tenant that wait or are heard at a time, each child of a batch counted; beyond them
    RESOURCE_EXHAUSTED."""
    max_inline_result_bytes: int = Field(1 << 20, ge=0)
    """Larger results come as a link, where the caller takes one and the store makes it (1 MiB)."""
    max_watches: int = Field(1_000, ge=1)
    """Streams of WatchJob at a time; the next one gets RESOURCE_EXHAUSTED."""


class WorkerSettings(BaseModel):
    """The workers, which hear jobs by the stages that the gateway's section names."""

    model_config = _FROZEN

    name: str = Field("", pattern=r"^[A-Za-z0-9._-]*$")
    """By which it is asked how it is; empty makes one from its process id."""
    concurrency: int = Field(2, ge=1, le=256)
    """Tasks that one worker runs at a time, each on a thread."""
    lanes: str = Field("interactive,default,bulk", pattern=rf"^{_LANE}(,{_LANE})*$")
    """Lanes that it serves; where several wait, the first goes first."""
    metrics_host: Host = Field("127.0.0.1")
    """Where the metrics are shown, without keys."""
    metrics_port: Port = Field(0)
    """HTTP port of the metrics."""
    window_seconds: float = Field(300.0, gt=0)
    """Seconds that one window may take; then it is tried again."""
    plan_seconds: float = Field(900.0, gt=0)
    """Seconds that the planning of one job may take (15 min); then it is tried again."""
    claim_seconds: float = Field(20.0, ge=1)
    """Seconds after the last heartbeat when the work of a silent worker is given to others."""
    sweep_seconds: float = Field(3.0, gt=0)
    """Seconds between two looks at the store for work that is due."""
    quiet_seconds: float = Field(300.0, gt=0)
    """Longest seconds until a job that has ended is looked at again, for retention and deletion."""
    max_queued_windows: int = Field(32, ge=1)
    """Windows of one job that wait in the queue at a time."""
    max_failures: int = Field(6, ge=1)
    """Times that a window may fail while all parts that serve are there; then it ends ERROR."""
    grace_seconds: float = Field(20.0, ge=0)
    """Seconds that running windows get at a stop; then others hear them again."""
    webhook_secret: VisibleSecret = Field(SecretStr(""))
    """Webhooks are signed with it, HMAC-SHA256; without it none are sent. Never printed."""
    webhook_attempts: int = Field(12, ge=1, le=100)
    """Attempts at one webhook, with pauses that double from 5 s to an hour."""
    webhook_seconds: float = Field(10.0, gt=0)
    """Seconds until a webhook must have answered."""
    private_webhooks: bool = Field(False)
    """Send webhooks to private and loopback addresses, too."""


def check_worker(queue: QueueSettings, worker: WorkerSettings) -> None:
    """Refuse tasks that may take longer than a message stays away: they would run a second time meanwhile.

    Raises:
        InvalidInputError: reason VISIBILITY_TOO_SHORT.
    """
    longest = max(worker.plan_seconds, worker.window_seconds)
    if queue.visibility_seconds <= longest:
        message = (
            f"EUREKA_QUEUE__VISIBILITY_SECONDS is {queue.visibility_seconds:g}; it must be above "
            f"EUREKA_WORKER__PLAN_SECONDS and EUREKA_WORKER__WINDOW_SECONDS, {longest:g} at most"
        )
        raise InvalidInputError(message, reason="VISIBILITY_TOO_SHORT")
