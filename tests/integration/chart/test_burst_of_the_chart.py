"""A gateway's burst client, with what the chart gives it: its template, its settings, and no more rights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from eureka.clients.cluster.bursts import BurstJobs
from eureka.clients.cluster.connection import open_cluster
from eureka.runtime.settings import load_settings
from tests.helpers.chart_cluster import operated
from tests.helpers.chart_policies import environment
from tests.helpers.helm import Helm, merged_values
from tests.helpers.kube.kinds import Address, kind_of
from tests.helpers.kube.rights import token_of
from tests.helpers.kube.schemas import problems

BATCH = "0123456789ab-0123456789abcdef"


@pytest.fixture
def bursts(helm: Helm, tmp_path: Path) -> Iterator[BurstJobs]:
    """The client of a gateway in the cluster: the settings of its pod, the token of its account."""
    with helm.installed(
        merged_values(operated("dev"), {"burst": {"enabled": True, "workers": 3}})
    ) as release:
        pod = release.find("Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]
        template = tmp_path / "pod.yaml"
        template.write_text(release.find("ConfigMap", "burst-template")["data"]["pod.yaml"])
        variables = {
            name: value for name, value in environment(pod).items() if name.startswith("EUREKA_BURST__")
        }
        with mock.patch.dict(os.environ, variables | {"EUREKA_BURST__TEMPLATE": str(template)}, clear=True):
            config = load_settings().burst.config()
        kubeconfig = tmp_path / "gateway"
        kubeconfig.write_text(helm.api.kubeconfig(token_of("default", "eureka-gateway")))
        client = open_cluster(kubeconfig)
        yield BurstJobs(client, config)
        client.close()


def test_batch_gets_its_workers_and_they_go_with_it(bursts: BurstJobs, helm: Helm) -> None:
    name = bursts.create("acme", BATCH, 10)
    job = next(one for one in helm.api.objects.all("Job") if one["metadata"]["name"] == name)
    assert problems(job) == []
    assert job["spec"]["parallelism"] == 3
    assert job["metadata"]["ownerReferences"][0]["name"] == "eureka-burst-template"
    pod = job["spec"]["template"]["spec"]
    assert environment(pod["containers"][0])["EUREKA_BURST__BATCH"] == f"acme/{BATCH}"
    assert pod["automountServiceAccountToken"] is False
    found = bursts.find(BATCH)
    assert found is not None
    bursts.delete(BATCH)
    assert bursts.find(BATCH) is None


def test_bursts_go_with_the_release(bursts: BurstJobs, helm: Helm) -> None:
    bursts.create("acme", BATCH, 10)
    template = next(
        one for one in helm.api.objects.all("ConfigMap") if one["metadata"]["name"] == "eureka-burst-template"
    )
    kind = kind_of("v1", "ConfigMap")
    assert kind is not None
    helm.api.objects.delete(Address(kind, "default", template["metadata"]["name"]))
    assert helm.api.objects.all("Job") == []
    helm.upgrade(merged_values(operated("dev"), {"burst": {"enabled": True}}))
