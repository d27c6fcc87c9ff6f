"""Rules that hold of each ready-made values file, and of the toggles that they leave off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from unittest import mock

import pytest
from prometheus_client import CollectorRegistry

from eureka.runtime.job_metrics import JobMetrics
from eureka.runtime.metrics import Metrics
from eureka.runtime.settings import Settings, load_settings
from eureka.runtime.settings_jobs import check_worker
from eureka.runtime.settings_sections import check_exposure, check_tls
from tests.helpers.chart_cluster import operated
from tests.helpers.chart_policies import POLICIES, Policy, containers, environment
from tests.helpers.chart_toggles import TOGGLES
from tests.helpers.helm import Helm, Manifest, Release, merged_values


@pytest.fixture(scope="module")
def toggled(helm: Helm) -> dict[str, Release]:
    """The development values with each toggle."""
    return {name: helm.rendered(merged_values(operated("dev"), values)) for name, values in TOGGLES.items()}


@pytest.fixture(scope="module")
def releases(ready_made: dict[str, Release], toggled: dict[str, Release]) -> dict[str, Release]:
    return {**ready_made, **toggled}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_policy_holds_whatever_is_on(policy: Policy, releases: dict[str, Release]) -> None:
    broken = {name: list(policy(release)) for name, release in releases.items()}
    assert {name: found for name, found in broken.items() if found} == {}


def test_settings_of_all_containers_can_be_read(releases: dict[str, Release]) -> None:
    for name, release in releases.items():
        for container, spec in ours(release):
            settings = settings_of(spec)
            check_exposure(settings.gateway)
            check_tls(settings.tls)
            check_worker(settings.queue, settings.worker)
            is_server = "EUREKA_LOG_LEVEL" in environment(spec)
            assert settings.log_format == "json" or not is_server, f"{name}: {container}"


def test_commands_are_modules_that_exist(releases: dict[str, Release]) -> None:
    for release in releases.values():
        for name, spec in ours(release):
            for command in (spec.get("command"), *(exec_of(spec))):
                if command and command[:2] == ["python", "-m"]:
                    assert find_spec(command[2]) is not None, f"{name}: {command}"


def test_scalers_ask_for_metrics_that_the_code_exports(releases: dict[str, Release]) -> None:
    registry = CollectorRegistry()
    Metrics("worker", registry)
    JobMetrics("worker", registry)
    known = {family.name for family in registry.collect()}
    asked = set()
    for release in releases.values():
        for scaler in release.all("ScaledObject"):
            queries = [trigger["metadata"]["query"] for trigger in scaler["spec"]["triggers"]]
            asked |= {query[len("sum(") : query.index("{")] for query in queries}
        for scaler in release.all("HorizontalPodAutoscaler"):
            found = [metric.get("external") for metric in scaler["spec"]["metrics"]]
            asked |= {metric["metric"]["name"] for metric in found if metric}
    assert asked
    assert asked <= known


@pytest.mark.parametrize("name", ["gpu", "production"])
def test_what_others_rely_on_scales_and_is_closed(name: str, ready_made: dict[str, Release]) -> None:
    release = ready_made[name]
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in release.all("ScaledObject")}
    budgets = {one["metadata"]["name"] for one in release.all("PodDisruptionBudget")}
    pools = {one["metadata"]["name"] for one in release.all("Deployment")} - {"eureka-sweeper"}
    assert scaled == budgets == pools
    assert release.all("NetworkPolicy")
    assert release.all("ServiceMonitor") and release.all("PrometheusRule")
    dashboards = [one for one in release.all("ConfigMap") if "dashboard" in one["metadata"]["name"]]
    assert len(dashboards) >= 4


def test_gpu_pools_are_three_and_ask_for_gpus(ready_made: dict[str, Release]) -> None:
    slice_of = "nvidia.com/mig-1g.10gb"
    wanted = {"encoder": slice_of, "adapter": slice_of, "decoder": "nvidia.com/gpu"}
    for stage, resource in wanted.items():
        pod = ready_made["gpu"].find("Deployment", stage)["spec"]["template"]["spec"]
        triton = next(one for one in pod["initContainers"] if one["name"] == "triton")
        assert triton["resources"]["limits"][resource] == "1"
        assert environment(triton)["EUREKA_TRITON__DEVICE"] == "cuda"
        assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
        assert pod["tolerations"]


def test_decoders_have_half_an_hour_to_end(ready_made: dict[str, Release]) -> None:
    for name in ("gpu", "production"):
        pod = ready_made[name].find("Deployment", "decoder")["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] == 1_800


def ours(release: Release) -> Iterator[tuple[str, Manifest]]:
    """Containers of our own images."""
    for name, container in containers(release):
        if "eureka-" in container["image"]:
            yield name, container


def exec_of(container: Manifest) -> Iterator[list[str]]:
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if "exec" in (container.get(probe) or {}):
            yield container[probe]["exec"]["command"]


def settings_of(container: Manifest) -> Settings:
    """What the process in it reads, secrets filled in."""
    variables = environment(container)
    for entry in container.get("env") or []:
        if "valueFrom" in entry and entry["name"].startswith("EUREKA_"):
            variables[entry["name"]] = "redis://queue:6379/0" if entry["name"].endswith("URL") else "secret"
    with mock.patch.dict(os.environ, variables, clear=True):
        return load_settings()
