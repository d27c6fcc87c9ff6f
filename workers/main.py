"""Root of a worker: settings -> store, stages, queue -> tasks on threads, a sweeper beside them."""

from __future__ import annotations

import functools
import logging
import os
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning

from eureka.audio.decode import DecodeLimits
from eureka.audio.decode_pool import DecodePool
from eureka.clients.task_queue import CeleryTaskQueue, OneLaneQueue, QueueConfig, queue_of
from eureka.clients.work_record import BurstMarks, Lease, QueuedMarks, RedisClaims, TraceRecord, connect
from eureka.errors import EurekaError
from eureka.jobs.job_store import JobStore
from eureka.jobs.source import OpenInPool
from eureka.runtime.job_metrics import JobMetrics
from eureka.runtime.logging import configure_logging
from eureka.runtime.metrics import new_metrics, serve_metrics
from eureka.runtime.settings import Settings, load_settings
from eureka.runtime.settings_jobs import check_worker
from eureka.runtime.storage import open_store
from eureka.runtime.tracing import open_tracer
from eureka.spans import NO_TRACER, Tracer
from eureka.storage.keys import JobKeys
from workers.advance import advance
from workers.app import make_app
from workers.backlog import ShownBacklog
from workers.parts import WorkerParts
from workers.stages import WorkerStages
from workers.steps import Steps
from workers.sweeper import Sweeper, SweepTimes
from workers.traces import TaskTraces

logger = logging.getLogger(f"eureka.{__name__}")


@contextmanager
def open_parts(
    settings: Settings, tracer: Tracer = NO_TRACER, lane: str | None = None
) -> Iterator[WorkerParts]:
    """What tasks share; all of it is closed at the end.

    Args:
        settings: of everything.
        tracer: makes spans of tasks.
        lane: to which all goes that tasks start; None sends each to its own.

    Raises:
        EurekaError: the store cannot be opened.
    """
    section, config, audio = settings.worker, settings.queue.config(), settings.audio
    with ExitStack() as opened:
        jobs = JobStore(open_store(settings.storage))
        redis = connect(config)
        opened.callback(redis.close)
        claims = RedisClaims(redis, config.key_prefix, section.claim_seconds, config.visibility_seconds)
        opened.callback(claims.close)
        record = TraceRecord(redis, config.key_prefix) if tracer.is_on else None
        traces = TaskTraces(tracer, record)
        stages = WorkerStages(settings, tracer)
        opened.callback(stages.close)
        pool = opened.enter_context(DecodePool(section.concurrency, DecodeLimits(**audio.limits())))
        queue = _queue(config, lane, traces)
        opened.callback(queue.close)
        yield WorkerParts(
            section,
            jobs,
            queue,
            claims,
            QueuedMarks(redis, config.key_prefix),
            stages,
            OpenInPool(pool),
            audio.silence_dbfs,
            traces=traces,
            bursts=BurstMarks(redis, config.key_prefix),
        )


def _queue(config: QueueConfig, lane: str | None, traces: TaskTraces) -> CeleryTaskQueue:
    if lane is None:
        return CeleryTaskQueue(config, traces.of_job)
    return OneLaneQueue(config, lane, traces.of_job)


def run_worker(settings: Settings) -> int:
    """Work until a signal; the exit status.

    Raises:
        EurekaError: the store cannot be opened, the metrics port is taken, settings do not go together.
    """
    section, config = settings.worker, settings.queue.config()
    check_worker(settings.queue, section)
    with ExitStack() as opened:
        metrics = new_metrics("worker")
        job_metrics = JobMetrics("worker", metrics.registry)
        shown = serve_metrics(metrics.registry, section.metrics_host, section.metrics_port)
        opened.callback(shown.stop)
        tracer = opened.enter_context(open_tracer(settings.tracing.config(), "worker"))
        parts = opened.enter_context(open_parts(settings, tracer))
        app = make_app(config, Steps(parts, metrics, job_metrics), parts.traces)
        opened.enter_context(sweeping(parts, settings, job_metrics))
        logger.info("worker_starting", extra={"worker": node_name(section.name), "metrics_port": shown.port})
        return work(app, settings, parts, settings.worker.lanes.split(","))


@contextmanager
def sweeping(parts: WorkerParts, settings: Settings, job_metrics: JobMetrics) -> Iterator[None]:
    """Look for what is due, on a thread, inside the block; what is left to do is shown in `job_metrics`."""
    section, config = settings.worker, settings.queue.config()
    times = SweepTimes(section.sweep_seconds, section.quiet_seconds)
    with ExitStack() as opened:
        redis = connect(config)
        opened.callback(redis.close)
        sweeper = Sweeper(
            parts.jobs.objects,
            Lease(redis, f"{config.key_prefix}sweeper", times.lease_seconds),
            functools.partial(look, parts),
            times,
            observer=ShownBacklog(parts.backlog, parts.marks, job_metrics),
        )
        opened.callback(sweeper.close)
        sweeper.start()
        yield


def look(parts: WorkerParts, keys: JobKeys) -> bool:
    """What the sweeper does about a job, within the job's trace; as `advance`."""
    with parts.traces.looking(keys):
        return advance(parts, keys)


def node_name(name: str) -> str:
    """By which Celery knows a worker of this machine."""
    return f"{name or f'worker-{os.getpid()}'}@{socket.gethostname()}"


def work(app: Celery, settings: Settings, parts: WorkerParts, lanes: Sequence[str]) -> int:
    """Run Celery's worker over some lanes; at a stop, what runs gets the grace, then its calls end."""
    section = settings.worker
    end = threading.Timer(section.grace_seconds, parts.stages.end_calls)
    end.daemon = True

    def stop(**_: Any) -> None:
        if not parts.stopping.is_set():  # asked twice, Celery says so twice
            parts.stopping.set()
            end.start()

    def keep_logging(**_: Any) -> None:
        """Celery leaves the logs alone when somebody listens here."""

    signals.worker_shutting_down.connect(stop, weak=False)
    signals.setup_logging.connect(keep_logging, weak=False)
    worker = app.Worker(
        hostname=node_name(section.name),
        pool="threads",
        concurrency=section.concurrency,
        queues=[queue_of(lane) for lane in lanes],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    end.cancel()
    return int(worker.exitcode or 0)


def _log_celery_too(level: str) -> None:
    """Warnings of Celery in the form of our lines; below them it tells of each message."""
    for name in ("celery", "kombu"):
        library = logging.getLogger(name)
        library.handlers = list(logging.getLogger("eureka").handlers)
        library.setLevel("ERROR" if level == "ERROR" else "WARNING")
        library.propagate = False
        for handler in library.handlers:
            handler.addFilter(_without_traceback)
    warnings.filterwarnings("ignore", category=SecurityWarning)  # about pickle; messages are JSON


def _without_traceback(record: logging.LogRecord) -> bool:
    """A lost connection is said in one line."""
    if record.levelno < logging.ERROR and not record.name.startswith("eureka"):
        record.exc_info = record.exc_text = None
    return True


def main(run: Callable[[Settings], int] = run_worker) -> int:
    """Run a worker; the exit status. What stops a start is one line on stderr."""
    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        _log_celery_too(settings.log_level)
        return run(settings)
    except EurekaError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
