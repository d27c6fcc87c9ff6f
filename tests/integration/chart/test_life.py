"""Install, upgrade and uninstall by real Helm: what is left, what changes, what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.chart_cluster import chart_copy, make_secrets, operated
from tests.helpers.helm import Helm, HelmRefused, helm_python, merged_values, values_file
from tests.helpers.kube.kinds import Address, kind_of
from tests.helpers.kube_api import KubeApi

READY_MADE = ("dev", "gpu", "production")


def _things(api: KubeApi) -> set[tuple[str, str]]:
    return {(one["kind"], one["metadata"]["name"]) for one in api.objects.all()}


@pytest.mark.parametrize("name", READY_MADE)
def test_values_file_is_installed_upgraded_and_removed_without_a_trace(
    name: str, helm: Helm, kube: KubeApi
) -> None:
    before = _things(kube)
    values = operated(name)
    release = helm.install(values)
    assert kube.objects.dangling() == []
    assert re.search(r"helm test eureka --namespace default", release.notes)
    installed = {one["metadata"]["name"]: one for one in kube.objects.all("Deployment")}
    upgraded = helm.upgrade(merged_values(values, {"logLevel": "DEBUG"}))
    assert kube.objects.dangling() == []
    for deployment in kube.objects.all("Deployment"):
        old = installed[deployment["metadata"]["name"]]
        assert deployment["metadata"]["generation"] == old["metadata"]["generation"] + 1
        assert deployment["spec"]["selector"] == old["spec"]["selector"]
    assert upgraded.text.count("DEBUG") > release.text.count("DEBUG")
    helm.uninstall()
    assert _things(kube) == before


def test_bundled_passwords_stay_at_upgrades(helm: Helm, kube: KubeApi) -> None:
    with helm.installed(operated("dev")):
        first = {one["metadata"]["name"]: one["data"] for one in kube.objects.all("Secret")}
        helm.upgrade(operated("dev"))
        second = {one["metadata"]["name"]: one["data"] for one in kube.objects.all("Secret")}
    assert first == second
    assert {"eureka-queue", "eureka-storage"} <= set(first)


def test_scaled_pools_keep_their_number_at_upgrades(helm: Helm, kube: KubeApi) -> None:
    """KEDA sets replicas; Helm, which names none, must leave them."""
    values = operated("production")
    with helm.installed(values):
        decoder = next(o for o in kube.objects.all("Deployment") if o["metadata"]["name"] == "eureka-decoder")
        kind = kind_of("apps/v1", "Deployment")
        assert kind is not None
        address = Address(kind, "default", "eureka-decoder")
        assert "replicas" not in decoder["spec"]
        kube.objects.apply(address, {"metadata": {"name": "eureka-decoder"}, "spec": {"replicas": 7}}, "keda")
        helm.upgrade(merged_values(values, {"logLevel": "DEBUG"}))
        assert kube.objects.get(address)["spec"]["replicas"] == 7


def test_two_releases_live_side_by_side(helm: Helm, kube: KubeApi) -> None:
    with helm.installed(operated("dev")), helm.installed(operated("dev"), release="other"):
        names = {one["metadata"]["name"] for one in kube.objects.all("Deployment")}
    assert {"eureka-gateway", "other-eureka-gateway"} <= names


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Helm]:
    """A cluster that refuses what dangles at once."""
    helm_python()
    with KubeApi() as api, Helm(api, tmp_path) as helm:
        yield helm


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("eureka-keys", {"gateway": {"keys": {"existingSecret": "eureka-keys"}}}),
        ("nobodys-queue", {"queue": {"bundled": {"enabled": False}, "existingSecret": "nobodys-queue"}}),
        ("nobodys-claim", {"gateway": {"uploads": {"existingClaim": "nobodys-claim"}}}),
        ("nobodys-hook", {"webhooks": {"existingSecret": "nobodys-hook"}}),
    ],
)
def test_what_the_operator_forgot_is_named(name: str, missing: dict[str, object], strict: Helm) -> None:
    with pytest.raises(HelmRefused, match=name):
        strict.install(merged_values(values_file("dev"), missing))


def test_missing_key_of_a_secret_is_named(strict: Helm) -> None:
    contents = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "eureka-keys"}}
    strict.api.put({**contents, "stringData": {"other.jsonl": "x"}})
    with pytest.raises(HelmRefused, match=r"eureka-keys.*keys\.jsonl"):
        keys = {"gateway": {"keys": {"existingSecret": "eureka-keys"}}}
        strict.install(merged_values(values_file("dev"), keys))


def test_dev_values_need_nothing_beforehand(strict: Helm) -> None:
    with strict.installed(values_file("dev")):
        assert strict.api.objects.dangling() == []


def test_upgrade_that_changes_a_selector_is_refused(strict: Helm, tmp_path: Path) -> None:
    make_secrets(strict.api)
    strict.install(values_file("dev"))
    broken = chart_copy(
        tmp_path,
        "templates/_names.tpl",
        "app.kubernetes.io/component: {{ .component }}",
        "app.kubernetes.io/component: new-{{ .component }}",
    )
    with pytest.raises(HelmRefused, match="field is immutable"):
        strict.upgrade(values_file("dev"), chart=broken)


FAULTS = [
    ("disruption.yaml", "kind: PodDisruptionBudget", "kind: PodDisruptionPlan", "PodDisruptionPlan"),
    ("stages/services.yaml", "clusterIP: None", "clusterIp: None", "clusterIp"),
    ("scaledobjects.yaml", "pollingInterval:", "pollInterval:", "pollInterval"),
    ("certificates.yaml", "secretName:", "secret:", "secret"),
    ("_pods.tpl", "failureThreshold: 2", "failureThreshold: two", "failureThreshold"),
    ("observability/servicemonitors.yaml", "port: metrics", "ports: metrics", "ports"),
    ("serviceaccounts.yaml", 'list "gateway" "worker"', 'list "gateway"', "ServiceAccount 'eureka-worker'"),
]


@pytest.mark.parametrize(("path", "old", "new", "refused"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_broken_chart_is_refused_by_the_server(
    path: str, old: str, new: str, refused: str, strict: Helm, tmp_path: Path
) -> None:
    make_secrets(strict.api)
    strict.api.objects.refuses_dangling = "ServiceAccount" in refused
    broken = chart_copy(tmp_path, f"templates/{path}", old, new)
    with pytest.raises(HelmRefused, match=re.escape(refused)):
        strict.install(operated("production"), chart=broken)
