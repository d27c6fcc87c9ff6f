"""`eureka cluster status` by the real client against a look-alike of the Kubernetes API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from eureka.cli.main import main
from eureka.clients.cluster.bursts import BATCH_LABEL, MANAGED_BY, burst_name
from eureka.clients.cluster.pools import Pool
from eureka.runtime.job_metrics import JobMetrics, LaneBacklog
from tests.helpers.kube.kinds import address_of
from tests.helpers.kube_api import KubeApi

BATCH = "0b1c2d3e4f50-01020304ffffffff"
CONTAINER = {
    "name": "main",
    "image": "eureka/service:1.0.0",
    "resources": {"limits": {"memory": "1Gi"}},
    "ports": [{"name": "metrics", "containerPort": 9_100}],
}


Status = Callable[..., int]


@pytest.fixture
def kube() -> Iterator[KubeApi]:
    with KubeApi() as api:
        yield api


@pytest.fixture
def status(kube: KubeApi, tmp_path: Path) -> Status:
    """Runs the command against the look-alike; its exit status."""
    (tmp_path / "config").write_text(kube.kubeconfig())
    return lambda *arguments: main(
        ["cluster", "status", "--kubeconfig", str(tmp_path / "config"), *arguments]
    )


def _labels(component: str, **more: str) -> dict[str, str]:
    plain = {"app.kubernetes.io/name": "eureka", "app.kubernetes.io/instance": "hear"}
    return {**plain, "app.kubernetes.io/component": component, **more}


def _deployment(kube: KubeApi, component: str, ready: int, wanted: int, updated: int, **labels: str) -> None:
    found, name = _labels(component, **labels), f"hear-{component}"
    template = {"metadata": {"labels": found}, "spec": {"containers": [CONTAINER]}}
    spec = {"replicas": wanted, "selector": {"matchLabels": found}, "template": template}
    metadata = {"name": name, "labels": {**found, "app.kubernetes.io/version": "1.0.0"}}
    kube.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    address = address_of(f"/apis/apps/v1/namespaces/default/deployments/{name}")
    assert address is not None
    kube.objects.set_status(address, {"readyReplicas": ready, "updatedReplicas": updated})


def _sweeper(kube: KubeApi) -> None:
    """A pod of the sweeper, and what it shows."""
    metadata = {"name": "hear-sweeper-0", "labels": _labels("sweeper")}
    kube.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [CONTAINER]}})
    address = address_of("/api/v1/namespaces/default/pods/hear-sweeper-0")
    assert address is not None
    kube.objects.set_status(address, {"conditions": [{"type": "Ready", "status": "True"}]})
    registry = CollectorRegistry()
    left = {"interactive": LaneBacklog(), "bulk": LaneBacklog(3, 2, 90.5, 7.0, 12)}
    JobMetrics("sweeper", registry).record_sweep(1.0, 0.1, left)
    path = "namespaces/default/pods/hear-sweeper-0:9100/proxy/metrics"
    kube.proxied[path] = generate_latest(registry).decode()


def _burst(kube: KubeApi) -> None:
    metadata = {"name": burst_name(BATCH), "labels": {**MANAGED_BY, BATCH_LABEL: BATCH}}
    pod = {"spec": {"restartPolicy": "OnFailure", "containers": [CONTAINER]}}
    kube.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": pod}})
    address = address_of(f"/apis/batch/v1/namespaces/default/jobs/{burst_name(BATCH)}")
    assert address is not None
    kube.objects.set_status(address, {"active": 4, "ready": 3, "failed": 1})


def _told(capsys: pytest.CaptureFixture[str], ended: int, expected: int = 0) -> Any:
    assert ended == expected
    return json.loads(capsys.readouterr().out)


def test_pools_queue_and_bursts_are_told(kube, status, capsys) -> None:
    _deployment(kube, "gateway", 2, 2, 2)
    _deployment(kube, "worker", 0, 0, 0, **{"eureka.audio/lane": "bulk"})
    _sweeper(kube)
    _burst(kube)

    told = _told(capsys, status("--format", "json"))
    assert (told["ready"], told["namespace"]) == (True, "default")
    assert [(pool["name"], pool["state"], pool["lane"]) for pool in told["pools"]] == [
        ("hear-gateway", "ready", None),
        ("hear-worker", "off", "bulk"),
    ]
    assert told["pools"][0]["pods"] == {"ready": 2, "updated": 2, "wanted": 2}
    assert told["queue"][1] == {"lane": "bulk", "jobs": 5, "waiting": 12, "audio_seconds": 90.5}
    [burst] = told["bursts"]
    assert (burst["job"], burst["state"]) == (f"jobs/{BATCH}", "RUNNING")
    assert burst["workers"] == {"active": 4, "ready": 3, "failed": 1}

    assert status() == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["hear-gateway", "gateway", "-", "2/2", "1.0.0", "ready"] in lines
    assert ["bulk", "5", "12", "90"] in lines
    assert [burst_name(BATCH), "RUNNING", "3/4", "1"] in lines


def test_pool_without_its_pods_makes_the_status_1(kube, status, capsys) -> None:
    _deployment(kube, "decoder", 1, 3, 3)
    _deployment(kube, "encoder", 2, 2, 1)
    told = _told(capsys, status("--format", "json"), 1)
    assert [(pool["component"], pool["state"]) for pool in told["pools"]] == [
        ("decoder", "not_ready"),
        ("encoder", "rolling"),
    ]
    assert told["queue"] is None and "no sweeper is ready" in told["queue_problem"]


def test_other_release_and_empty_namespace_have_nothing(kube, status, capsys) -> None:
    _deployment(kube, "gateway", 1, 1, 1)
    assert _told(capsys, status("--release", "hear", "--format", "json"))["pools"] != []
    assert _told(capsys, status("--release", "other", "--format", "json"), 1)["pools"] == []
    assert status("-n", "kube-system") == 1
    assert capsys.readouterr().out == "nothing of the platform is in namespace kube-system\n"


def test_user_without_rights_is_told_which(kube, tmp_path, capsys) -> None:
    kube.put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "guest"}})
    (tmp_path / "guest").write_text(kube.kubeconfig("system:serviceaccount:default:guest"))
    assert main(["cluster", "status", "--kubeconfig", str(tmp_path / "guest")]) == 2
    told = capsys.readouterr().err
    assert "cannot list deployments in namespace default" in told and "CLUSTER_DENIED" in told


def test_unknown_context_is_named(status, capsys) -> None:
    assert status("--context", "moon") == 2
    assert "moon" in capsys.readouterr().err


def test_machine_that_knows_no_cluster_says_so(tmp_path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "nothing")}
    command = [sys.executable, "-m", "eureka.cli.main", "cluster", "status"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "NO_CLUSTER" in done.stderr


@pytest.mark.parametrize(
    ("ready", "updated", "wanted", "state"),
    [
        (0, 0, 0, "off"),
        (2, 2, 2, "ready"),
        (2, 1, 2, "rolling"),
        (1, 2, 2, "not_ready"),
        (1, 1, 2, "rolling"),
    ],
)
def test_state_of_a_pool(ready: int, updated: int, wanted: int, state: str) -> None:
    assert Pool("p", "gateway", "", "", "1", ready, updated, wanted).state == state
