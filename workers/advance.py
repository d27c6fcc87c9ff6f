"""Queues what is due for one job, from what the store says; the sweeper and tasks that ended call it."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from eureka.clients.task_queue import burst_lane
from eureka.jobs.batch import parent_id
from eureka.jobs.deletion import delete_job
from eureka.jobs.job_store import WindowRef
from eureka.jobs.reading import view_of
from eureka.jobs.states import JobFacts, state_of
from eureka.jobs.sweep import Claimed, Due, due
from eureka.storage.keys import JobKeys, created_time
from workers.events import WebhookState, delivery_key, event_of, read_delivery
from workers.parts import WorkerParts

logger = logging.getLogger(f"eureka.{__name__}")

ORPHAN_SECONDS = 86_400.0
"""A folder without a job is being filled, or left over when it is a day old."""

MAX_LANE_MESSAGES = 1_000
"""A lane that holds so many gets no more windows for now."""


def advance(parts: WorkerParts, keys: JobKeys) -> bool:
    """Queue what is due; whether something is, or will be without anybody's doing.

    Raises:
        EurekaError: the store or the queue is away.
    """
    facts = parts.jobs.facts(keys)
    if state_of(facts) is None or (facts.latest is not None and facts.latest.result is not None):
        parts.backlog.forget(keys)
    found = _due(parts, keys, facts)
    if found.is_nothing and facts.latest is not None and facts.latest.result is not None:
        return _after_end(parts, keys, facts.latest.number)
    _queue(parts, keys, found)
    return True


def _due(parts: WorkerParts, keys: JobKeys, facts: JobFacts) -> Due:
    """Windows that are marked as queued count as live: somebody will be at them."""
    if not facts.has_spec and facts.latest is None and _is_orphan(keys, parts.clocks.utc()):
        return Due(1, delete=True)
    if facts.is_deleted or not facts.has_spec or facts.latest is None:
        if state_of(facts) is not None:
            parts.backlog.note(keys, lane_of(parts, keys), None)
        return due(facts, None, lambda _: Claimed(False, 0), is_late=_is_late(parts, keys, facts))
    if facts.latest.result is not None:
        return due(facts, None, lambda _: Claimed(False, 0))
    view, number = view_of(parts.jobs, keys), facts.latest.number
    parts.backlog.note(keys, lane_of(parts, keys), view)
    is_late = _is_late(parts, keys, facts)
    names = {i: WindowRef(keys, number, i).key for i in (view.latest.missing if view else ())}
    marked = parts.marks.marked(names.values())

    def claimed(index: int) -> Claimed:
        return Claimed(names[index] in marked, 0)

    found = due(facts, view, claimed, is_late=is_late)
    room = max(0, parts.settings.max_queued_windows - len(marked))
    free = [i for i in found.windows[: 4 * room] if not parts.claims.is_live(names[i])][:room]
    return Due(number, found.delete, found.plan, tuple(free), (), found.merge)


def _is_late(parts: WorkerParts, keys: JobKeys, facts: JobFacts) -> bool:
    if not facts.has_spec or facts.is_deleted:
        return False
    deadline = parts.jobs.spec(keys).deadline_time
    return deadline is not None and parts.clocks.utc() >= deadline


def _is_orphan(keys: JobKeys, now: datetime) -> bool:
    return now - created_time(keys.job_id) > timedelta(seconds=ORPHAN_SECONDS)


def _queue(parts: WorkerParts, keys: JobKeys, found: Due) -> None:
    tenant, job_id, number = keys.tenant, keys.job_id, found.round_number
    if found.delete or found.merge:
        name = keys.delete if found.delete else keys.result(number)
        if _is_free(parts, name):
            with parts.marks.marking(name):
                parts.queue.enqueue_finish(tenant, job_id)
        return
    if not (found.plan or found.windows):
        return
    lane = lane_of(parts, keys)
    if found.plan:
        if _is_free(parts, keys.plan(number)):
            with parts.marks.marking(keys.plan(number)):
                parts.queue.enqueue_plan(tenant, job_id, lane)
        return
    if parts.marks.num_waiting(lane) > MAX_LANE_MESSAGES:
        return
    for index in found.windows:
        with parts.marks.marking(keys.window(number, index)):
            parts.queue.enqueue_window(tenant, job_id, number, index, lane)


def lane_of(parts: WorkerParts, keys: JobKeys) -> str:
    """That of the job, or that of its batch while the batch has workers of its own."""
    batch = parent_id(keys.job_id)
    if batch is not None and parts.bursts is not None and parts.bursts.is_live(keys.tenant, batch):
        return burst_lane(batch)
    return parts.jobs.spec(keys).lane.value


def _is_free(parts: WorkerParts, name: str) -> bool:
    return not parts.marks.marked([name]) and not parts.claims.is_live(name)


def _after_end(parts: WorkerParts, keys: JobKeys, number: int) -> bool:
    """Webhook and retention of a job that has ended; whether the webhook is still to be sent."""
    spec = parts.jobs.spec(keys)
    if spec.retention_seconds is not None:
        ended = parts.jobs.objects.stat(keys.result(number)).modified_time
        if parts.clocks.utc() - ended > timedelta(seconds=spec.retention_seconds):
            logger.info("job_expired", extra={"job_id": keys.job_id})
            delete_job(parts.jobs.objects, keys)
            return False
    if not spec.webhook or not parts.settings.webhook_secret.get_secret_value():
        return False
    delivery = read_delivery(parts.jobs.objects, keys, number)
    if delivery.state is not WebhookState.PENDING:
        return False
    name = delivery_key(keys, number)
    if parts.clocks.utc() >= delivery.next_time and _is_free(parts, name):
        event_of(parts.jobs, keys, number)
        with parts.marks.marking(name):
            parts.queue.enqueue_webhook(keys.tenant, keys.job_id, number)
    return True
