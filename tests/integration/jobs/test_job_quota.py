"""Jobs by a real gateway that lets a tenant have three unfinished files."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import JobState, StoredObject, StoredObjects
from eureka.clients.gateway_types import RetryPolicy
from eureka.errors import EurekaError, QueueFullError
from eureka.jobs.job_store import JobStore
from eureka.jobs.unfinished import unfinished_jobs
from services.gateway.jobs.quota import JobQuota
from services.gateway.jobs.reading import JobReader
from services.gateway.jobs.service import JobLimits
from tests.helpers.job_gateway import CountedStore, Faults, JobGateway, ended, job_gateway, put
from tests.helpers.job_rig import tone_model
from tests.helpers.tokenizers import small_nano_tokenizer

LIMIT = 3


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def served(tmp_path: Path, faults: Faults) -> Iterator[JobGateway]:
    tokenizer = small_nano_tokenizer(tmp_path)
    limits = JobLimits(max_unfinished=LIMIT)
    with job_gateway(tmp_path, lambda: tone_model(tokenizer, faults), CountedStore, limits=limits) as gateway:
        yield gateway


@pytest.fixture
def client(served: JobGateway) -> Iterator[GatewayClient]:
    with served.client() as client:
        yield client


def refused(client: GatewayClient, source: StoredObject | StoredObjects, **options: bool) -> EurekaError:
    with pytest.raises(QueueFullError) as caught:
        client.create_job(source, **options)
    assert caught.value.code == "RESOURCE_EXHAUSTED" and caught.value.reason == "JOB_QUOTA"
    return caught.value


def marked(served: JobGateway, tenant: str = "acme") -> int:
    return sum(job.num_files for job in unfinished_jobs(served.objects, tenant))


def test_job_beyond_the_quota_is_refused_until_others_end(client: GatewayClient, served: JobGateway) -> None:
    source = put(served, "quota/a.wav")
    with served.queue.held():
        first = client.create_job(source, request_id="first")
        jobs = [first, *(client.create_job(source) for _ in range(LIMIT - 1))]
        error = refused(client, source)
        assert f"limit is {LIMIT}" in error.message and f"{LIMIT} files of yours" in error.message
        refused(client, source, validate_only=True)
        assert client.create_job(source, request_id="first").name == first.name  # it is there already
        with served.client("other") as other:  # another tenant has a quota of its own
            other.create_job(put(served, "quota/a.wav", tenant="other"))
        before = {job.name for job in client.all_jobs()}
    assert before == {job.name for job in jobs}  # what was refused left nothing
    for job in jobs:
        assert ended(client, job).state is JobState.SUCCEEDED
    served.queue.drain()
    assert marked(served) == marked(served, "other") == 0
    with served.client(retry=RetryPolicy()) as patient:  # it was told to come again
        assert ended(patient, patient.create_job(source)).state is JobState.SUCCEEDED


def test_children_of_a_batch_count_each(client: GatewayClient, served: JobGateway) -> None:
    keys = [put(served, f"children/{name}.wav").key for name in "abcd"]
    assert "make smaller batches" in refused(client, StoredObjects(keys)).message
    with served.queue.held():
        batch = client.create_job(StoredObjects(keys[:LIMIT]))
        refused(client, StoredObject(keys[0]))
        client.delete_job(batch.name)
        assert marked(served) == 0
        with served.client(retry=RetryPolicy()) as patient:
            patient.create_job(StoredObjects(keys[:LIMIT]))


def test_markers_left_over_cost_no_place(client: GatewayClient, served: JobGateway) -> None:
    """Cancelled jobs whose result no worker has written, and a job that nobody made: all are seen through."""
    source = put(served, "left/a.wav")
    with served.queue.held():
        for _ in range(LIMIT):
            client.cancel_job(client.create_job(source).name)
        assert marked(served) == LIMIT
        job = client.create_job(source)
        assert marked(served) == 1
        assert client.get_job(job.name).state is JobState.PENDING


def test_retried_job_counts_again(client: GatewayClient, served: JobGateway, faults: Faults) -> None:
    faults.is_on = True
    partial = ended(client, client.create_job(put(served, "retry/a.wav")))
    faults.is_on = False
    served.queue.drain()
    assert partial.state is JobState.PARTIAL and marked(served) == 0
    with served.queue.held():
        client.retry_job(partial.name)
        assert marked(served) == 1
    assert ended(client, partial).state is JobState.SUCCEEDED
    served.queue.drain()
    assert marked(served) == 0


def test_creation_below_the_quota_looks_at_no_other_job(client: GatewayClient, served: JobGateway) -> None:
    source = put(served, "cheap/a.wav")
    with served.queue.held():
        client.create_job(source)
        served.objects.calls.clear()
        client.create_job(source)
        # markers; and the job itself, which is answered with
        assert served.objects.calls["list_objects"] == 2


def test_full_tenant_that_asks_again_and_again_is_counted_now_and_then(
    client: GatewayClient, served: JobGateway
) -> None:
    now = [0.0]
    with served.queue.held(), ThreadPoolExecutor(2) as threads:
        for _ in range(LIMIT):
            client.create_job(put(served, "full/a.wav"))
        quota = JobQuota(JobReader(JobStore(served.objects), threads), LIMIT, lambda: now[0])
        served.objects.calls.clear()
        for seconds in (0.0, 0.1, 1.9, 2.1, 2.2):
            now[0] = seconds
            with pytest.raises(QueueFullError):
                quota.check("acme", 1)
        assert served.objects.calls["list_objects"] == 2 * (1 + LIMIT)  # the markers, and each job
        quota.check("other", 1)
