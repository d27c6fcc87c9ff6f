"""The queue of background work: who starts tasks, and by what messages; ids only.

A message that is lost costs time, not work: the sweeper of the workers finds in the store what is due.
Celery's `send_task` names tasks, so that nobody here imports the workers.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from eureka.errors import InvalidInputError, StageUnavailableError

PLAN_TASK = "eureka.plan"
WINDOW_TASK = "eureka.window"
FINISH_TASK = "eureka.finish"
WEBHOOK_TASK = "eureka.webhook"

TRACEPARENT_HEADER = "traceparent"
"""Header of a message that belongs to a trace: its W3C trace context."""

LANES = ("interactive", "default", "bulk")
"""Names of `jobs.spec.Lane`; each is a queue of its own, the first is served first."""

DEFAULT_LANE = "default"

BURST_LANE = "burst."
"""Before the id of a batch: its own lane, served by workers that hear this batch only."""

_QUEUES = {lane: f"{number}-{lane}" for number, lane in enumerate(LANES, 1)}
"""Workers ask queues in the order of their names."""

_BURST = re.compile(r"burst\.[0-9a-f]{12}-[0-9a-f]{16}")

_CLIENT_OPTIONS = {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.1, "interval_max": 0.1}
"""Of who only sends: one more attempt at a connection; a caller waits meanwhile."""

CONNECT_SECONDS = 2.0
"""Until a connection stands; a caller waits for the gateway meanwhile."""

SOCKET_SECONDS = 10.0
"""Between two words of Redis; workers ask again every second."""


class TaskQueue(Protocol):
    """Starts tasks on workers; starting one twice has no effect but work.

    Every method raises StageUnavailableError (QUEUE_UNAVAILABLE) when the queue is away.
    """

    def enqueue_plan(self, tenant: str, job_id: str, lane: str) -> None:
        """Plan the highest round of a job, and start its windows."""
        ...

    def enqueue_window(self, tenant: str, job_id: str, round_number: int, index: int, lane: str) -> None:
        """Hear one window."""
        ...

    def enqueue_finish(self, tenant: str, job_id: str) -> None:
        """Write the result, or delete what is marked."""
        ...

    def enqueue_webhook(self, tenant: str, job_id: str, round_number: int) -> None:
        """Tell the job's webhook that a round has ended."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """Where the queue is.

    Attributes:
        url: redis://[:password@]host:port/database.
        key_prefix: before all keys, so that several platforms share one Redis.
        visibility_seconds: after which a message that was not acknowledged comes again; above the longest
            task.
        restore_interval_seconds: how often it is looked for such messages.
    """

    url: str = "redis://127.0.0.1:6390/0"
    key_prefix: str = "eureka:"
    visibility_seconds: float = 1_800.0
    restore_interval_seconds: float = 5.0

    def celery_settings(self) -> dict[str, Any]:
        """Settings of the Celery apps at both ends, those that survived kills of workers and of Redis."""
        return {
            "broker_url": self.url,
            "broker_connection_retry_on_startup": True,
            "broker_transport_options": {
                "global_keyprefix": self.key_prefix,
                "visibility_timeout": self.visibility_seconds,
                "unacked_restore_interval": self.restore_interval_seconds,
                "unacked_restore_throttle": 1,
                "socket_connect_timeout": CONNECT_SECONDS,
                "socket_timeout": SOCKET_SECONDS,
                "socket_keepalive": True,
                "queue_order_strategy": "sorted",
            },
            "task_default_queue": queue_of(DEFAULT_LANE),
            "task_create_missing_queues": True,
            "task_acks_late": True,
            "task_reject_on_worker_lost": True,
            "task_track_started": True,
            "task_ignore_result": True,
            "task_serializer": "json",
            "accept_content": ["json"],
            "result_serializer": "json",
            "worker_prefetch_multiplier": 1,
            "result_backend_always_retry": True,
            "result_backend_max_retries": 60,
        }


class CeleryTaskQueue:
    """`TaskQueue` by Celery over Redis; for any number of threads.

    Args:
        config: where it is.
        traceparent: gives the trace context that goes with a message, asked at each; empty without one.
    """

    def __init__(self, config: QueueConfig, traceparent: Callable[[], str] = str) -> None:
        self._app = _sending_app(config)
        self._traceparent = traceparent

    def enqueue_plan(self, tenant: str, job_id: str, lane: str) -> None:
        """As `TaskQueue`."""
        self._send(PLAN_TASK, {"tenant": tenant, "job_id": job_id}, lane)

    def enqueue_window(self, tenant: str, job_id: str, round_number: int, index: int, lane: str) -> None:
        """As `TaskQueue`."""
        ids = {"tenant": tenant, "job_id": job_id, "round_number": round_number, "index": index}
        self._send(WINDOW_TASK, ids, lane)

    def enqueue_finish(self, tenant: str, job_id: str) -> None:
        """As `TaskQueue`; short, so it goes before windows."""
        self._send(FINISH_TASK, {"tenant": tenant, "job_id": job_id}, LANES[0])

    def enqueue_webhook(self, tenant: str, job_id: str, round_number: int) -> None:
        """As `TaskQueue`."""
        ids = {"tenant": tenant, "job_id": job_id, "round_number": round_number}
        self._send(WEBHOOK_TASK, ids, DEFAULT_LANE)

    def close(self) -> None:
        """As `TaskQueue`."""
        self._app.close()

    def _send(self, task: str, ids: dict[str, Any], lane: str) -> None:
        queue = queue_of(lane)
        headers = {TRACEPARENT_HEADER: trace} if (trace := self._traceparent()) else None
        with queue_errors():
            self._app.send_task(task, kwargs=ids, queue=queue, retry=False, headers=headers)


class OneLaneQueue(CeleryTaskQueue):
    """All that its user starts goes to one lane, whatever lane is named: that of the batch which it hears.

    Args:
        config: where it is.
        lane: of all messages.
        traceparent: see `CeleryTaskQueue`.
    """

    def __init__(self, config: QueueConfig, lane: str, traceparent: Callable[[], str] = str) -> None:
        super().__init__(config, traceparent)
        self._lane = lane

    def _send(self, task: str, ids: dict[str, Any], lane: str) -> None:
        super()._send(task, ids, self._lane)


class WorkerPing:
    """Asks a worker through the queue whether it is there; one question at a time.

    Args:
        config: where the queue is.
    """

    def __init__(self, config: QueueConfig) -> None:
        self._app = _sending_app(config)
        self._lock = threading.Lock()

    def answers(self, worker: str, seconds: float) -> bool:
        """Whether the worker of that name answers in time."""
        try:
            with self._lock, queue_errors():
                return bool(self._app.control.ping([worker], seconds))
        except StageUnavailableError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._app.close()


def _sending_app(config: QueueConfig) -> Any:
    from celery import Celery  # here, so that settings and the client need no Celery

    app = Celery("eureka", set_as_current=False)
    app.conf.update(config.celery_settings())
    app.conf.broker_transport_options |= _CLIENT_OPTIONS
    return app


def burst_lane(batch_id: str) -> str:
    """The lane of a batch that has workers of its own."""
    return f"{BURST_LANE}{batch_id}"


def queue_of(lane: str) -> str:
    """The queue of a lane.

    Raises:
        InvalidInputError: reason INVALID_LANE.
    """
    if _BURST.fullmatch(lane):
        return f"0-{lane}"
    if lane not in _QUEUES:
        message = f"a lane is one of {', '.join(LANES)}, not {lane[:40]!r}"
        raise InvalidInputError(message, reason="INVALID_LANE")
    return _QUEUES[lane]


@contextmanager
def queue_errors() -> Iterator[None]:
    """Errors of Celery, kombu and Redis as ours.

    Raises:
        StageUnavailableError: reason QUEUE_UNAVAILABLE.
    """
    from kombu.exceptions import KombuError, OperationalError
    from redis.exceptions import RedisError

    try:
        yield
    except (KombuError, OperationalError, RedisError, OSError) as error:
        message = f"the queue is away ({type(error).__name__}); try again"
        raise StageUnavailableError(message, reason="QUEUE_UNAVAILABLE") from error
