"""Burst jobs by the real client against a look-alike of the Kubernetes API server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eureka.clients.cluster.bursts import (
    BATCH_VARIABLE,
    BurstConfig,
    BurstJobs,
    BurstState,
    burst_name,
)
from eureka.clients.cluster.connection import open_cluster
from eureka.clients.cluster.watch import BurstWatch
from eureka.errors import (
    EurekaError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    QueueFullError,
    StageUnavailableError,
)
from tests.helpers.kube.kinds import address_of
from tests.helpers.kube.objects import Refused
from tests.helpers.kube.rights import token_of
from tests.helpers.kube_api import KubeApi

BATCH, OTHER = "0b1c2d3e4f50-01020304ffffffff", "0b1c2d3e4f50-0a0b0c0dffffffff"
GATEWAY = "release-gateway"

POD: dict[str, Any] = {
    "metadata": {"labels": {"app.kubernetes.io/name": "eureka", "app.kubernetes.io/component": "worker"}},
    "spec": {
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "worker",
                "image": "eureka/worker:1.0.0",
                "command": ["python", "-m", "workers.burst"],
                "env": [{"name": "EUREKA_QUEUE__URL", "value": "redis://queue:6379/0"}],
                "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi", "nvidia.com/gpu": "1"}},
            }
        ],
    },
}

QUOTA = (
    'jobs.batch "eureka-burst" is forbidden: exceeded quota: few, requested: count/jobs.batch=1, '
    "used: count/jobs.batch=1, limited: count/jobs.batch=1"
)


@pytest.fixture
def kube() -> Iterator[KubeApi]:
    with KubeApi() as api:
        api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "burst-template"}})
        yield api


@pytest.fixture
def connect(kube: KubeApi, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Clients for whoever has a token; closed at the end."""
    opened = []

    def open_client(token: str | None = None) -> Any:
        path = tmp_path / f"kubeconfig{len(opened)}"
        path.write_text(kube.kubeconfig() if token is None else kube.kubeconfig(token))
        opened.append(open_cluster(path))
        return opened[-1]

    yield open_client
    for client in opened:
        client.close()


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "pod.yaml"
    path.write_text(yaml.safe_dump(POD))
    return path


@pytest.fixture
def make(connect: Callable[..., Any], template: Path) -> Callable[..., BurstJobs]:
    def jobs(token: str | None = None, **config: Any) -> BurstJobs:
        return BurstJobs(
            connect(token), BurstConfig(**{"template": template, "namespace": "default", **config})
        )

    return jobs


def _jobs(kube: KubeApi) -> list[dict[str, Any]]:
    return kube.objects.all("Job")


def _set_status(kube: KubeApi, batch: str, status: dict[str, Any]) -> None:
    address = address_of(f"/apis/batch/v1/namespaces/default/jobs/{burst_name(batch)}")
    assert address is not None
    kube.objects.set_status(address, status)


def _until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _let_gateway(kube: KubeApi, verbs: list[str]) -> str:
    """The token of a gateway with rights for jobs."""
    rules = [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": verbs}]
    kube.put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": GATEWAY}})
    group = "rbac.authorization.k8s.io"
    version = f"{group}/v1"
    kube.put({"apiVersion": version, "kind": "Role", "metadata": {"name": "burst"}, "rules": rules})
    kube.put(
        {
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": {"name": "burst"},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "burst"},
            "subjects": [{"kind": "ServiceAccount", "name": GATEWAY, "namespace": "default"}],
        }
    )
    return token_of("default", GATEWAY)


def test_job_is_made_from_the_template_and_bound_to_its_batch(kube, make) -> None:
    jobs = make(
        workers=8, deadline_seconds=600, ttl_seconds=60, backoff_limit=2, owner="ConfigMap/burst-template"
    )
    assert jobs.create("acme", BATCH, num_children=3) == f"eureka-burst-{BATCH}"
    [job] = _jobs(kube)
    spec, pod = job["spec"], job["spec"]["template"]
    assert spec["parallelism"] == 3, "no more pods than files"
    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"], spec["backoffLimit"]) == (
        600,
        60,
        2,
    )
    [worker] = pod["spec"]["containers"]
    assert {"name": BATCH_VARIABLE, "value": f"acme/{BATCH}"} in worker["env"]
    assert worker["env"][0]["value"] == "redis://queue:6379/0"
    assert job["metadata"]["labels"]["eureka.audio/batch"] == BATCH
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
    [owner] = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("ConfigMap", "burst-template")
    assert owner["uid"] == kube.objects.all("ConfigMap")[0]["metadata"]["uid"]


def test_job_made_twice_is_one(kube, make) -> None:
    jobs = make()
    jobs.create("acme", BATCH, 10)
    jobs.create("acme", BATCH, 10)
    assert len(_jobs(kube)) == 1


def test_lost_answer_is_asked_for_again_and_found_made(kube, make) -> None:
    kube.fail("create", "jobs", None)
    make().create("acme", BATCH, 10)
    assert len(_jobs(kube)) == 1


def test_deleted_job_is_gone_and_deleting_it_again_is_well(kube, make) -> None:
    jobs = make()
    jobs.create("acme", BATCH, 10)
    jobs.delete(BATCH)
    assert _jobs(kube) == [] and jobs.find(BATCH) is None
    jobs.delete(BATCH)


def test_gateway_without_rights_is_told_which(kube, make) -> None:
    with pytest.raises(PermissionDeniedError, match=r"cannot create jobs.*needs a Role") as raised:
        make(_let_gateway(kube, ["get", "list", "watch"])).create("acme", BATCH, 10)
    assert raised.value.reason == "CLUSTER_DENIED"


def test_gateway_with_rights_for_jobs_only_makes_them_without_an_owner_it_may_not_read(kube, make) -> None:
    token = _let_gateway(kube, ["create", "get", "list", "watch", "delete"])
    make(token, owner="ConfigMap/burst-template").create("acme", BATCH, 10)
    [job] = _jobs(kube)
    assert "ownerReferences" not in job["metadata"]


def test_quota_is_said_in_the_words_of_the_cluster(kube, make) -> None:
    kube.fail("create", "jobs", Refused(403, "Forbidden", QUOTA))
    with pytest.raises(QueueFullError, match="exceeded quota: few") as raised:
        make().create("acme", BATCH, 10)
    assert raised.value.reason == "CLUSTER_QUOTA"


def test_unknown_namespace_and_wrong_pods_are_said_to_be(kube, make, template) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        make(namespace="nowhere").create("acme", BATCH, 10)
    template.write_text(yaml.safe_dump({**POD, "spec": {**POD["spec"], "restartPolicy": 7}}))
    with pytest.raises(InvalidInputError, match="restartPolicy") as raised:
        make().create("acme", BATCH, 10)
    assert raised.value.reason == "CLUSTER_REFUSED"
    template.write_text(yaml.safe_dump(POD))
    kube.fail("create", "jobs", Refused(422, "Invalid", "spec.template: too many words"))
    with pytest.raises(InvalidInputError, match="too many words"):
        make().create("acme", BATCH, 10)


@pytest.mark.parametrize("content", ["", "spec: {}", "spec: {containers: []}", "a: [", "just words"])
def test_template_that_is_none_is_named(make, template, content: str) -> None:
    template.write_text(content)
    with pytest.raises(InvalidInputError, match=r"pod.yaml is no template") as raised:
        make().create("acme", BATCH, 10)
    assert raised.value.reason == "INVALID_BURST_TEMPLATE"


def test_cluster_that_is_away_is_said_to_be(kube, make) -> None:
    kube.fail("create", "jobs", Refused(503, "ServiceUnavailable", "etcd is away"), times=9)
    with pytest.raises(StageUnavailableError, match="etcd is away") as raised:
        make().create("acme", BATCH, 10)
    assert raised.value.reason == "CLUSTER_UNAVAILABLE"


def test_kubeconfig_that_is_none_is_named(tmp_path) -> None:
    path = tmp_path / "config"
    path.write_text("a: 1\n")
    with pytest.raises(EurekaError) as raised:
        open_cluster(path)
    assert raised.value.reason == "INVALID_KUBECONFIG"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, BurstState.PENDING),
        ({"active": 2, "ready": 0}, BurstState.PENDING),
        ({"active": 2, "ready": 1}, BurstState.RUNNING),
        ({"succeeded": 2, "conditions": [{"type": "Complete", "status": "True"}]}, BurstState.SUCCEEDED),
        (
            {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]},
            BurstState.FAILED,
        ),
        ({"active": 1, "conditions": [{"type": "Failed", "status": "False"}]}, BurstState.PENDING),
    ],
)
def test_state_follows_pods_and_conditions(kube, make, status: dict[str, Any], state: BurstState) -> None:
    jobs = make()
    jobs.create("acme", BATCH, 10)
    _set_status(kube, BATCH, status)
    found = jobs.find(BATCH)
    assert found is not None
    assert found.state is state
    assert found.reason == ("DeadlineExceeded" if state is BurstState.FAILED else "")


@pytest.fixture
def watch(connect: Callable[..., Any]) -> Iterator[BurstWatch]:
    watch = BurstWatch(connect(), "default", wait=lambda seconds: time.sleep(0.02) or False)
    yield watch
    watch.close()


def test_watch_follows_jobs_without_asking_again(kube, make, watch) -> None:
    jobs = make()
    jobs.create("acme", BATCH, 10)
    watch.start()
    _until(lambda: watch.find(BATCH) is not None)
    _set_status(kube, BATCH, {"active": 4, "ready": 3})
    _until(lambda: watch.find(BATCH).num_ready == 3)
    jobs.create("acme", OTHER, 10)
    _until(lambda: watch.find(OTHER) is not None)
    jobs.delete(BATCH)
    _until(lambda: watch.find(BATCH) is None)
    lists = [path for verb, path in kube.requests if verb == "GET" and path.endswith("/jobs")]
    assert len(lists) == 2, "one list, and one watch"


@pytest.mark.parametrize(
    "loss", [Refused(410, "Expired", "too old resource version"), Refused(500, "InternalError", "oh"), None]
)
def test_watch_that_is_lost_heals(kube, make, watch, loss: Refused | None) -> None:
    jobs = make()
    jobs.create("acme", BATCH, 10)
    kube.watches_end_after = 1
    kube.fail("watch", "jobs", loss, times=2)
    watch.start()
    for ready in range(1, 6):  # each event cuts the watch off
        _set_status(kube, BATCH, {"active": 5, "ready": ready})
        _until(lambda ready=ready: (found := watch.find(BATCH)) is not None and found.num_ready == ready)


def test_watch_that_is_behind_knows_nothing(kube, make, watch) -> None:
    make().create("acme", BATCH, 10)
    watch.start()
    _until(lambda: watch.find(BATCH) is not None)
    kube.watches_end_after = 1
    for verb in ("list", "watch"):
        kube.fail(verb, "jobs", Refused(503, "ServiceUnavailable", "away"), times=10_000)
    _set_status(kube, BATCH, {"active": 5, "ready": 2})
    _until(lambda: watch.find(BATCH) is None)
    assert not watch.is_current
