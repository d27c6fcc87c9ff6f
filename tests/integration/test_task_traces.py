"""Which trace the tasks of a job belong to: over Celery's headers, and where the sweeper queues them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from redis import Redis

from eureka.clients.metadata import new_traceparent, trace_id_of
from eureka.clients.task_queue import CeleryTaskQueue, QueueConfig
from eureka.clients.work_record import TraceRecord
from eureka.runtime.tracing import TracingConfig, open_tracer
from eureka.spans import Tracer
from eureka.storage.keys import JobKeys
from tests.helpers.otlp_receiver import OtlpReceiver, running_receiver
from tests.helpers.redis_server import running_redis
from workers.traces import TaskTraces

KEYS = JobKeys("acme", "012345678901-0123456789abcdef")
CREATED = new_traceparent()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def redis(address: str) -> Iterator[Redis]:
    host, _, port = address.rpartition(":")
    client = Redis(host, int(port))
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def tracer(receiver: OtlpReceiver) -> Iterator[Tracer]:
    with open_tracer(TracingConfig(receiver.endpoint, export_seconds=0.05), "worker") as tracer:
        yield tracer


def test_all_of_a_job_goes_with_the_context_of_its_maker(
    redis: Redis, tracer: Tracer, receiver: OtlpReceiver
) -> None:
    one, other = (TaskTraces(tracer, TraceRecord(redis, "tests:")) for _ in range(2))
    with one.received(CREATED), one.task("plan", KEYS) as span:
        assert one.of_job() == CREATED  # for the windows that it queues
        assert one.of_task() == span.traceparent != CREATED  # for what it asks of the stages
    assert one.of_job() == one.of_task() == ""
    with other.looking(KEYS):  # the sweeper of another worker
        assert other.of_job() == CREATED
    with other.received(None), other.task("window", KEYS):  # a message without a header
        assert other.of_job() == CREATED
    spans = receiver.until(lambda spans: len(spans) == 2)
    assert {span.trace_id for span in spans} == {trace_id_of(CREATED)}
    assert {span.parent_id for span in spans} == {CREATED.split("-")[2]}


def test_job_without_a_maker_gets_a_trace_from_its_first_task(
    redis: Redis, tracer: Tracer, receiver: OtlpReceiver
) -> None:
    traces = TaskTraces(tracer, TraceRecord(redis, "tests:"))
    for task in ("plan", "window", "finish"):
        with traces.received("no context at all"), traces.task(task, KEYS):
            pass
    spans = receiver.until(lambda spans: len(spans) == 3)
    assert len({span.trace_id for span in spans}) == 1


def test_lost_record_begins_a_new_trace_and_nothing_fails(tracer: Tracer) -> None:
    away = TaskTraces(tracer, TraceRecord(Redis("127.0.0.1", 9, socket_connect_timeout=0.2), "tests:"))
    with away.received(None), away.task("window", KEYS) as span:
        assert away.of_job() == span.traceparent


def test_threads_of_a_worker_do_not_mix_traces(tracer: Tracer, redis: Redis) -> None:
    traces, seen = TaskTraces(tracer), {}
    contexts = [new_traceparent() for _ in range(4)]
    barrier = threading.Barrier(4)

    def run(number: int) -> None:
        with traces.received(contexts[number]), traces.task("window", KEYS):
            barrier.wait(10)
            seen[number] = traces.of_job()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seen[number] for number in range(4)] == contexts


def test_context_travels_in_the_headers_of_messages(address: str, redis: Redis) -> None:
    """How a worker reads it is told in tests/e2e/test_traces.py."""
    context = [CREATED]
    queue = CeleryTaskQueue(QueueConfig(f"redis://{address}/0", "traces:"), lambda: context[0])
    queue.enqueue_plan("acme", KEYS.job_id, "default")
    context[0] = ""
    queue.enqueue_plan("acme", KEYS.job_id, "default")
    queue.close()
    latest, first = (json.loads(message)["headers"] for message in redis.lrange("traces:2-default", 0, -1))
    assert first["traceparent"] == CREATED
    assert "traceparent" not in latest
