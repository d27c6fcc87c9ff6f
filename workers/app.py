"""The Celery app of a worker: settings, and one task for each name that the queue's clients know.

Messages hold ids only. A task ends well whatever happens: what is left to do is found in the store again.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, Task

from eureka.clients.task_queue import (
    FINISH_TASK,
    PLAN_TASK,
    TRACEPARENT_HEADER,
    WEBHOOK_TASK,
    WINDOW_TASK,
    QueueConfig,
)
from eureka.jobs.job_store import WindowRef
from eureka.storage.keys import JobKeys
from workers.steps import Steps
from workers.traces import TaskTraces


def make_app(config: QueueConfig, steps: Steps, traces: TaskTraces | None = None) -> Celery:
    """The app, with all tasks.

    Args:
        config: where the queue is.
        steps: what tasks do.
        traces: told which trace the message of a task belongs to.
    """
    app = Celery("eureka", set_as_current=False)
    app.conf.update(config.celery_settings())
    app.conf.update(
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_max_retries=None,
        task_store_errors_even_if_ignored=False,
    )
    _register(app, steps, traces or TaskTraces())
    return app


def _register(app: Celery, steps: Steps, traces: TaskTraces) -> None:
    def plan(tenant: str, job_id: str) -> None:
        steps.plan(JobKeys(tenant, job_id))

    def window(tenant: str, job_id: str, round_number: int, index: int) -> None:
        steps.window(WindowRef(JobKeys(tenant, job_id), round_number, index))

    def finish(tenant: str, job_id: str) -> None:
        steps.finish(JobKeys(tenant, job_id))

    def webhook(tenant: str, job_id: str, round_number: int) -> None:
        steps.webhook(JobKeys(tenant, job_id), round_number)

    named = {PLAN_TASK: plan, WINDOW_TASK: window, FINISH_TASK: finish, WEBHOOK_TASK: webhook}
    for name, function in named.items():
        app.task(name=name, shared=False, base=_traced(traces))(function)


def _traced(traces: TaskTraces) -> type[Task]:
    """Tasks that know which trace their message belongs to."""

    class TracedTask(Task):  # type: ignore[misc]  # Celery has no types
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with traces.received(self.request.get(TRACEPARENT_HEADER)):
                return super().__call__(*args, **kwargs)

    return TracedTask
