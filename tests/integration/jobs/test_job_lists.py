"""Jobs by a real gateway: pages, filters, and batches with their children."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import (
    JobFilter,
    JobOptions,
    JobState,
    StoredObjects,
    StoredPrefix,
)
from eureka.errors import NotFoundError, WrongStateError
from eureka.jobs.batch import new_single_id
from eureka.jobs.spec import JobSpec
from tests.helpers.job_gateway import JobGateway, ended, put


def test_batch_rolls_up_its_children(client: GatewayClient, served: JobGateway) -> None:
    for name in ("a.wav", "b.wav"):
        put(served, f"batch/day/{name}")
    put(served, "batch/day/c.txt", b"no audio at all" * 50)
    batch = client.create_job(
        StoredPrefix("batch/day/"), JobOptions(labels={"batch": "1"}), request_id="batch"
    )
    assert (
        client.create_job(
            StoredPrefix("batch/day/"), JobOptions(labels={"batch": "1"}), request_id="batch"
        ).name
        == batch.name
    )
    done = ended(client, batch)
    assert done.state is JobState.PARTIAL and done.children is not None
    assert done.children[JobState.SUCCEEDED] == 2 and done.children[JobState.FAILED] == 1
    children = list(client.all_jobs(parent=batch.name))
    assert [child.options.display_name for child in children] == [
        "batch/day/a.wav", "batch/day/b.wav", "batch/day/c.txt",
    ]  # fmt: skip
    assert {child.parent for child in children} == {batch.name}
    listed = [job.name for job in client.all_jobs(JobFilter(labels={"batch": "1"}))]
    assert listed == [batch.name]
    with pytest.raises(WrongStateError) as caught:
        client.get_result(batch.name)
    assert caught.value.reason == "BATCH_HAS_NO_RESULT"
    client.delete_job(batch.name)
    with pytest.raises(NotFoundError):
        client.get_job(children[0].name)
    assert served.objects.exists("acme/batch/day/a.wav")


def test_batch_is_cancelled_and_retried_as_a_whole(client: GatewayClient, served: JobGateway) -> None:
    keys = [put(served, f"whole/{name}.wav").key for name in "ab"]
    with served.queue.held():
        batch = client.create_job(StoredObjects(keys))
        assert batch.state is JobState.PENDING and batch.children is not None
        assert client.cancel_job(batch.name).state is JobState.CANCELLED
    served.queue.drain()
    client.retry_job(batch.name)
    assert ended(client, batch).state is JobState.SUCCEEDED
    with pytest.raises(WrongStateError) as caught:
        client.retry_job(batch.name)
    assert caught.value.reason == "NOTHING_TO_RETRY"


def make_specs(served: JobGateway, tenant: str, number: int, start: datetime) -> list[str]:
    """Jobs as they lie in the store, oldest first, without going through the gateway."""
    names = []
    for index in range(number):
        job_id = new_single_id(start + timedelta(seconds=index), index.to_bytes(8, "big"))
        labels = {"even": str(index % 2 == 0)}
        spec = JobSpec(tenant, job_id, "a.wav", source_key=f"{tenant}/a.wav", labels=labels)
        served.objects.put_if_absent(spec.keys.spec, spec.to_bytes())
        names.append(spec.name)
    return names


def test_pages_stay_while_jobs_are_added(served: JobGateway) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    names = make_specs(served, "other", 25, start)
    with served.client("other") as client:
        first = client.list_jobs(page_size=10)
        make_specs(served, "other", 5, start + timedelta(days=1))
        second = client.list_jobs(page_size=10, page_token=first.next_token)
        third = client.list_jobs(page_size=10, page_token=second.next_token)
        found = [job.name for page in (first, second, third) for job in page.jobs]
        assert found == names[::-1] and third.next_token == ""
        even = JobFilter(labels={"even": "True"}, max_create_time=start + timedelta(seconds=11))
        assert [job.name for job in client.all_jobs(even)] == names[10::-2]
        late = JobFilter(
            min_create_time=start + timedelta(seconds=24), max_create_time=start + timedelta(hours=1)
        )
        assert [job.name for job in client.all_jobs(late)] == [names[24]]
        assert not client.list_jobs(JobFilter(states=[JobState.FAILED])).jobs


def test_first_page_of_many_reads_only_its_own_jobs(served: JobGateway) -> None:
    make_specs(served, "many", 200, datetime(2026, 2, 1, tzinfo=UTC))
    served.objects.calls.clear()
    with served.client("many") as client:
        page = client.list_jobs(page_size=50)
    assert len(page.jobs) == 50 and page.next_token
    counts = served.objects.calls
    assert counts["list_folders"] == 2  # jobs and batches
    assert counts == {"list_folders": 2, "list_objects": 50, "get": 50}
