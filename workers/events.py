"""Events of jobs in the store: what a webhook is told, and how far its delivery is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from eureka.clients.webhook import WebhookEvent
from eureka.errors import NotFoundError
from eureka.jobs.documents import JSON_TYPE, Fields, to_bytes
from eureka.jobs.job_store import JobStore
from eureka.jobs.states import ResultHead
from eureka.storage.keys import JobKeys
from eureka.storage.store import ObjectStore

DELIVERY_VERSION = 1
"""Raised when a field changes its meaning."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 3_600.0
"""Between attempts; the first doubles up to an hour."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class WebhookState(StrEnum):
    """How far a delivery is."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    GIVEN_UP = "GIVEN_UP"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is known of the delivery of one event.

    Attributes:
        state: see there.
        num_attempts: made so far.
        next_time: not before it is tried again.
    """

    state: WebhookState = WebhookState.PENDING
    num_attempts: int = 0
    next_time: datetime = _LONG_AGO

    def delivered(self) -> Delivery:
        """After an attempt that came through."""
        return replace(self, state=WebhookState.DELIVERED, num_attempts=self.num_attempts + 1)

    def failed(self, now: datetime, max_attempts: int) -> Delivery:
        """After one that did not."""
        pause = min(FIRST_PAUSE_SECONDS * 2.0**self.num_attempts, LONGEST_PAUSE_SECONDS)
        is_last = self.num_attempts + 1 >= max_attempts
        state = WebhookState.GIVEN_UP if is_last else WebhookState.PENDING
        return Delivery(state, self.num_attempts + 1, now + timedelta(seconds=pause))


def delivery_key(keys: JobKeys, round_number: int) -> str:
    """Where the delivery of a round's end is told."""
    return keys.event(f"{round_number:04d}-webhook.json")


def read_delivery(objects: ObjectStore, keys: JobKeys, round_number: int) -> Delivery:
    """How far it is; the beginning where nothing is known."""
    try:
        content = objects.get(delivery_key(keys, round_number))
    except NotFoundError:
        return Delivery()
    given = Fields.of_bytes(content, "webhook.json", DELIVERY_VERSION)
    return Delivery(WebhookState(given.text("state")), given.integer("attempts"), given.time("next_time"))


def write_delivery(objects: ObjectStore, keys: JobKeys, round_number: int, delivery: Delivery) -> None:
    """Keep it; the last writer wins, and at worst an event goes out twice."""
    plain = {
        "version": DELIVERY_VERSION,
        "state": delivery.state.value,
        "attempts": delivery.num_attempts,
        "next_time": delivery.next_time.isoformat(),
    }
    objects.put(delivery_key(keys, round_number), to_bytes(plain), content_type=JSON_TYPE)


def event_of(jobs: JobStore, keys: JobKeys, round_number: int) -> WebhookEvent | None:
    """The event of a round's end, the same whenever it is asked for; None where the round has not ended.

    It names the job and its state, and holds nothing of what was heard.
    """
    written = jobs.result(keys, round_number)
    if written is None:
        return None
    event_id = f"{keys.job_id}.{round_number}.ended"
    plain = {
        "id": event_id,
        "type": "job.ended",
        "data": {
            "name": f"jobs/{keys.job_id}",
            "state": ResultHead.from_bytes(written).state.value,
            "round": round_number,
        },
    }
    body = to_bytes(plain)
    key = keys.event(f"{round_number:04d}-ended.json")
    jobs.objects.put_if_absent(key, body, content_type=JSON_TYPE)
    return WebhookEvent(event_id, body)
