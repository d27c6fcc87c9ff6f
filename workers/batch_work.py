"""The worker of a burst: serves the queue of one batch, sweeps its children only, and ends with it.

While it lives it says so in Redis, and sweepers elsewhere send what is due of the batch to its queue. When
all workers of a burst are gone the mark dies, and what is left goes to the lanes of everybody.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from eureka.clients.task_queue import burst_lane
from eureka.clients.work_record import BurstMarks, Lease, connect
from eureka.errors import EurekaError, NotFoundError
from eureka.jobs.batch import read_batch
from eureka.jobs.job_store import JobStore
from eureka.jobs.states import state_of
from eureka.runtime.job_metrics import JobMetrics
from eureka.runtime.metrics import new_metrics, serve_metrics
from eureka.runtime.settings import Settings
from eureka.runtime.settings_jobs import check_worker
from eureka.runtime.tracing import open_tracer
from eureka.storage.keys import JobKeys
from workers.app import make_app
from workers.main import look, node_name, open_parts, work
from workers.steps import Steps
from workers.sweeper import Sweeper, SweepTimes

logger = logging.getLogger(f"eureka.{__name__}")


class BatchLife:
    """Tells others that the batch has workers of its own, and ends this one with the batch.

    Args:
        keys: of the children, in order.
        jobs: documents of jobs.
        tell: says once that the batch is being heard.
        end: asks this worker to stop.
        pause_seconds: between two looks.
    """

    def __init__(
        self,
        keys: Iterable[JobKeys],
        jobs: JobStore,
        tell: Callable[[], None],
        end: Callable[[], None],
        pause_seconds: float,
    ) -> None:
        self._left = deque(keys)
        self._jobs = jobs
        self._tell = tell
        self._end = end
        self._pause_seconds = pause_seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batch-life", daemon=True)

    def start(self) -> None:
        """Look from now on, on a thread."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join()

    def has_ended(self) -> bool:
        """Whether no child has anything left to do; those that have ended are not looked at again.

        Raises:
            EurekaError: the store is away.
        """
        while self._left:
            state = state_of(self._jobs.facts(self._left[0]))
            if state is not None and not state.is_final:
                return False
            self._left.popleft()
        return True

    def _run(self) -> None:
        while True:
            self._tell()
            try:
                if self.has_ended():
                    logger.info("batch_ended")
                    return self._end()
            except EurekaError as error:
                logger.warning("batch_not_read", extra={"reason": error.reason})
            if self._closing.wait(self._pause_seconds):
                return


def run_burst(settings: Settings) -> int:
    """Hear one batch to its end; the exit status, 0 also where it is gone.

    Raises:
        EurekaError: NO_BATCH; the store cannot be opened, settings do not go together.
    """
    tenant, batch_id = settings.burst.heard_batch()
    section, config, lane = settings.worker, settings.queue.config(), burst_lane(batch_id)
    check_worker(settings.queue, section)
    with ExitStack() as opened:
        metrics = new_metrics("worker")
        shown = serve_metrics(metrics.registry, section.metrics_host, section.metrics_port)
        opened.callback(shown.stop)
        tracer = opened.enter_context(open_tracer(settings.tracing.config(), "worker"))
        parts = opened.enter_context(open_parts(settings, tracer, lane))
        children = children_of(parts.jobs, tenant, batch_id)
        redis = connect(config)
        opened.callback(redis.close)
        marks = BurstMarks(redis, config.key_prefix)
        times = SweepTimes(section.sweep_seconds, section.quiet_seconds)
        lease = Lease(redis, f"{config.key_prefix}sweeper:{batch_id}", times.lease_seconds)
        sweeper = Sweeper(
            parts.jobs.objects, lease, functools.partial(look, parts), times, jobs=lambda: children
        )
        opened.callback(sweeper.close)
        tell = functools.partial(marks.mark, tenant, batch_id, settings.burst.live_seconds)
        life = BatchLife(children, parts.jobs, tell, _stop_this, section.sweep_seconds)
        opened.callback(life.close)
        app = make_app(config, Steps(parts, metrics, JobMetrics("worker", metrics.registry)), parts.traces)
        extra = {"worker": node_name(section.name), "job_id": batch_id, "num_children": len(children)}
        logger.info("burst_worker_starting", extra=extra)
        sweeper.start()
        life.start()
        status = work(app, settings, parts, [lane])
        if life.has_ended():
            marks.clear(tenant, batch_id)
        return status


def children_of(jobs: JobStore, tenant: str, batch_id: str) -> tuple[JobKeys, ...]:
    """Keys of the children; none where the batch is gone."""
    try:
        batch = read_batch(jobs.objects, tenant, batch_id)
    except NotFoundError:
        return ()
    return tuple(JobKeys(tenant, child) for child in batch.child_ids())


def _stop_this() -> None:
    """End as a stop from outside does: what runs comes to its end."""
    os.kill(os.getpid(), signal.SIGTERM)
