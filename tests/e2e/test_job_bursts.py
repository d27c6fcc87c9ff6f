"""Large batches on the local stack: the gateway makes their Kubernetes Job, its real worker hears them.

The cluster is a look-alike without nodes, so the test is the kubelet: it runs what the Job's pod says.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from eureka.clients.cluster.bursts import burst_name
from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import Job, JobState, StoredObjects
from eureka.runtime.stack_plan import queue_at
from tests.helpers.gateway_stack import metrics_at
from tests.helpers.job_stack import JobStack
from tests.helpers.kube.kinds import address_of
from tests.helpers.kube.objects import Refused
from tests.helpers.kube_api import KubeApi
from tests.helpers.long_recording import long_recording
from tests.helpers.sounds import wav_of
from tests.helpers.stack_user import StackUser, until
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

NUM_FILES, AUDIO_SECONDS = 4, 20.0

POD = {
    "metadata": {"labels": {"app.kubernetes.io/name": "eureka"}},
    "spec": {
        "restartPolicy": "OnFailure",
        "containers": [
            {
                "name": "worker",
                "image": "eureka/worker:1.0.0",
                "command": ["python", "-m", "workers.burst"],
                "env": [{"name": "EUREKA_WORKER__CONCURRENCY", "value": "1"}],
                "resources": {"limits": {"memory": "1Gi"}},
            }
        ],
    },
}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def kube() -> Iterator[KubeApi]:
    with KubeApi() as api:
        yield api


@pytest.fixture(scope="module")
def stack(user: StackUser, kube: KubeApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobStack]:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no redis-server (CI=true: a skip is a failure)")
        pytest.skip("no redis-server; apt-get install redis-server")
    folder = tmp_path_factory.mktemp("burst")
    (folder / "kubeconfig").write_text(kube.kubeconfig())
    (folder / "pod.yaml").write_text(yaml.safe_dump(POD))
    user.environment |= {
        "EUREKA_CHECKPOINT": str(write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))),
        "EUREKA_WORKER__SWEEP_SECONDS": "0.5",
        "EUREKA_WORKER__CLAIM_SECONDS": "2",
        "EUREKA_BURST__ENABLED": "true",
        "EUREKA_BURST__KUBECONFIG": str(folder / "kubeconfig"),
        "EUREKA_BURST__TEMPLATE": str(folder / "pod.yaml"),
        "EUREKA_BURST__MIN_CHILDREN": str(NUM_FILES),
        "EUREKA_BURST__LIVE_SECONDS": "2",
    }
    user.run("up", "--detach")
    yield JobStack(user)


@pytest.fixture(scope="module")
def client(stack: JobStack) -> Iterator[GatewayClient]:
    audio = wav_of(long_recording(AUDIO_SECONDS, seed=3).pcm)
    for number in range(NUM_FILES):
        stack.jobs.objects.put(f"default/recordings/{number}.wav", audio)
    with GatewayClient(stack.gateway, timeout_seconds=30) as client:
        yield client


def _create(client: GatewayClient) -> Job:
    return client.create_job(StoredObjects([f"recordings/{number}.wav" for number in range(NUM_FILES)]))


def _manifest(kube: KubeApi, job: Job) -> dict[str, Any] | None:
    name = burst_name(job.name.removeprefix("jobs/"))
    return next((one for one in kube.objects.all("Job") if one["metadata"]["name"] == name), None)


@contextmanager
def _pod(stack: JobStack, kube: KubeApi, job: Job, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The container of a burst's pod, as a process that knows where queue, stages and store are."""
    manifest = _manifest(kube, job)
    assert manifest is not None
    [container] = manifest["spec"]["template"]["spec"]["containers"]
    environment = {
        **stack.user.environment,
        **queue_at(stack.redis_address),
        **{f"EUREKA_GATEWAY__{name.upper()}": address for name, address in stack.targets.items()},
        **{one["name"]: one["value"] for one in container["env"]},
        "EUREKA_LOG_LEVEL": "INFO",
    }
    command = [sys.executable, *container["command"][1:]]
    with log.open("wb") as output:
        pod = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield pod
    finally:
        pod.kill()
        pod.wait()


def _num_windows(stack: JobStack) -> float:
    """Windows that the stack's own worker has heard."""
    counted = metrics_at(stack.components()["worker"]["metrics"])
    return sum(
        value
        for name, value in counted.items()
        if name.startswith("eureka_requests_total") and "window" in name
    )


def test_burst_hears_its_batch_alone_and_ends_with_it(
    stack: JobStack, client: GatewayClient, kube: KubeApi, tmp_path: Path
) -> None:
    num_before, job = _num_windows(stack), _create(client)
    manifest = _manifest(kube, job)
    assert manifest is not None and manifest["spec"]["parallelism"] == NUM_FILES
    assert job.burst is not None and (job.burst.state, job.burst.name) == (
        "PENDING",
        manifest["metadata"]["name"],
    )

    address = address_of(f"/apis/batch/v1/namespaces/default/jobs/{job.burst.name}")
    assert address is not None
    kube.objects.set_status(address, {"active": 1, "ready": 1})
    until(lambda: client.get_job(job.name).burst.state == "RUNNING", 10)
    assert client.get_job(job.name).state is JobState.PENDING, "a worker of everybody was at it"

    with _pod(stack, kube, job, tmp_path / "pod.log") as pod:
        assert pod.wait(120) == 0, (tmp_path / "pod.log").read_text()
    log = (tmp_path / "pod.log").read_text()
    assert "batch_ended" in log
    found = client.get_job(job.name)
    assert found.state is JobState.SUCCEEDED and found.children[JobState.SUCCEEDED] == NUM_FILES
    assert _num_windows(stack) == num_before, "a worker of everybody was at it"
    left = [key for key in stack.redis().keys("*burst*") if b"binding" not in key]
    assert left == []


@pytest.mark.slow  # what was queued for the workers that are gone counts as lost after half a minute
def test_batch_whose_workers_were_killed_is_ended_by_all(
    stack: JobStack, client: GatewayClient, kube: KubeApi, tmp_path: Path
) -> None:
    job = _create(client)
    with _pod(stack, kube, job, tmp_path / "pod.log") as pod:
        until(lambda: client.get_job(job.name).state is not JobState.PENDING, 60)
        pod.send_signal(signal.SIGKILL)
        pod.wait()
    assert client.get_job(job.name).state is JobState.RUNNING, "it was too fast for the test"
    until(lambda: client.get_job(job.name).state.is_final, 120)
    assert client.get_job(job.name).state is JobState.SUCCEEDED


def test_cancelled_batch_takes_its_job_along(client: GatewayClient, kube: KubeApi) -> None:
    job = _create(client)
    assert _manifest(kube, job) is not None
    client.cancel_job(job.name)
    assert _manifest(kube, job) is None
    until(lambda: client.get_job(job.name).state is JobState.CANCELLED, 60)


def test_batch_that_gets_no_job_says_why_and_is_heard_by_all(client: GatewayClient, kube: KubeApi) -> None:
    kube.fail("create", "jobs", Refused(403, "Forbidden", "jobs.batch is forbidden: no right"))
    job = _create(client)
    assert _manifest(kube, job) is None
    assert job.burst is not None
    assert (job.burst.state, job.burst.reason) == ("FAILED", "CLUSTER_DENIED")
    assert "no right" in job.burst.message
    until(lambda: client.get_job(job.name).state is JobState.SUCCEEDED, 120)


def test_small_batch_gets_no_job(client: GatewayClient, kube: KubeApi) -> None:
    job = client.create_job(StoredObjects(["recordings/0.wav", "recordings/1.wav"]))
    assert job.burst is None and _manifest(kube, job) is None
    client.cancel_job(job.name)
