"""The traces of a worker's tasks: one for each job, begun by who made it, or by its first task.

A task's span belongs to the context that its message came with, and what it queues goes with the same; so all
tasks of a job stand side by side in one trace. What the sweeper queues finds the job's trace in Redis.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from eureka.clients.metadata import is_traceparent
from eureka.clients.work_record import TraceRecord
from eureka.spans import NO_TRACER, Span, SpanKind, Tracer
from eureka.storage.keys import JobKeys


class _Here(threading.local):
    """What a thread is at.

    Attributes:
        job_id: of the job that is looked at; empty outside.
        job_trace: trace context of the job; empty before it is known.
        span: that of the task's own span.
    """

    job_id = ""
    job_trace = ""
    span = ""


class TaskTraces:
    """Which trace the work of each thread belongs to.

    Args:
        tracer: makes the spans.
        record: knows the traces of jobs; None where tracing is off.
    """

    def __init__(self, tracer: Tracer = NO_TRACER, record: TraceRecord | None = None) -> None:
        self._tracer = tracer
        self._record = record
        self._here = _Here()

    def of_job(self) -> str:
        """Trace context for what this thread queues; empty where there is none."""
        here = self._here
        if not here.job_trace and here.job_id and self._record is not None:
            here.job_trace = self._record.find(here.job_id)
        return here.job_trace

    def of_task(self) -> str:
        """Trace context for what this thread's task asks of the stages."""
        return self._here.span

    @contextmanager
    def received(self, traceparent: str | None) -> Iterator[None]:
        """Run a task inside the block whose message came with `traceparent`."""
        self._here.job_trace = traceparent if traceparent and is_traceparent(traceparent) else ""
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def looking(self, keys: JobKeys) -> Iterator[None]:
        """Look at a job inside the block; what is queued goes with its trace."""
        self._here.job_id = keys.job_id
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def task(self, name: str, keys: JobKeys) -> Iterator[Span]:
        """A span about a step of a job."""
        here = self._here
        here.job_id = keys.job_id
        with self._tracer.span(f"task/{name}", self.of_job(), SpanKind.CONSUMER) as span:
            here.job_trace, here.span = here.job_trace or span.traceparent, span.traceparent
            if self._record is not None:
                self._record.remember(keys.job_id, here.job_trace)
            span.set(job_id=keys.job_id, tenant=keys.tenant)
            yield span

    def _leave(self) -> None:
        self._here.job_id = self._here.job_trace = self._here.span = ""
