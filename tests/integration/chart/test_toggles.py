"""What each toggle changes; and that a template broken on purpose is noticed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.helpers.chart_cluster import chart_copy, operated
from tests.helpers.chart_policies import POLICIES, environment
from tests.helpers.chart_toggles import TOGGLES
from tests.helpers.helm import CHART, Helm, HelmRefused, Release, merged_values
from tests.helpers.kube.kinds import Address, kind_of
from tests.helpers.kube.objects import Refused
from tests.helpers.kube.rights import check, token_of
from tests.helpers.kube.schemas import problems

Check = Callable[[Release], None]


def stages_scale_by_what_waits(release: Release) -> None:
    """KEDA, with decoders that go to zero and come back."""
    scaler = release.find("ScaledObject", "decoder")["spec"]
    queries = [trigger["metadata"]["query"] for trigger in scaler["triggers"]]
    assert scaler["minReplicaCount"] == 0
    assert any(query.startswith("sum(eureka_requests_waiting{") for query in queries)
    assert any(query.startswith("sum(eureka_queued_audio_seconds{") for query in queries)
    hearing = release.find("ScaledObject", "encoder")["spec"]["triggers"][0]["metadata"]["query"]
    assert hearing.startswith("sum(eureka_requests_running{") and 'service="eureka-encoder"' in hearing
    bulk = release.find("ScaledObject", "worker-interactive")["spec"]["triggers"]
    assert 'lane="interactive"' in bulk[0]["metadata"]["query"]
    assert bulk[0]["metadata"]["threshold"] == "900"
    waiting = release.find("ScaledObject", "gateway")["spec"]["triggers"][0]["metadata"]["query"]
    assert 'service="eureka-gateway-headless"' in waiting
    assert release.find("Service", "gateway-headless")
    assert not release.all("HorizontalPodAutoscaler")


def pools_scale_by_cpu(release: Release) -> None:
    """HPA without an adapter of metrics."""
    scaler = release.find("HorizontalPodAutoscaler", "decoder")["spec"]
    assert scaler["metrics"][0]["resource"]["name"] == "cpu"
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 4)
    assert not release.all("ScaledObject")


def pools_scale_by_our_metrics(release: Release) -> None:
    """HPA with one."""
    waiting = release.find("HorizontalPodAutoscaler", "decoder")["spec"]["metrics"][0]["external"]
    queued = release.find("HorizontalPodAutoscaler", "worker-interactive")["spec"]["metrics"][0]["external"]
    assert waiting["metric"]["selector"]["matchLabels"] == {"service": "eureka-decoder"}
    assert queued["metric"]["selector"]["matchLabels"] == {"lane": "interactive"}


def all_speak_tls(release: Release) -> None:
    """Servers, channels and probes; kubelets cannot ask gRPC over TLS."""
    for name in ("gateway", "encoder", "adapter", "decoder"):
        pod = release.find("Deployment", name)["spec"]["template"]["spec"]
        container = pod["containers"][0]
        settings = environment(container)
        assert settings["EUREKA_TLS__CERTIFICATE"] == "/etc/eureka/tls/tls.crt"
        assert settings["EUREKA_TLS__KEY"] == "/etc/eureka/tls/tls.key"
        assert settings["EUREKA_TLS__ROOT_CA"] == "/etc/eureka/tls/ca.crt"
        assert "/etc/eureka/tls" in [mount["mountPath"] for mount in container["volumeMounts"]]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            wanted = ["python", "-m", "eureka.runtime.healthcheck", name]
            assert container[probe]["exec"]["command"][:4] == wanted
            assert ("--live" in container[probe]["exec"]["command"]) is (probe != "readinessProbe")
    for pod_name in ("worker-interactive", "sweeper"):
        worker = release.find("Deployment", pod_name)["spec"]["template"]["spec"]["containers"][0]
        assert "EUREKA_TLS__ROOT_CA" in environment(worker)
    test = release.find("Pod", "test-caption")["spec"]["containers"][0]
    assert environment(test).get("EUREKA_TLS__ROOT_CA") == "/etc/eureka/tls/ca.crt"


def stages_ask_for_certificates(release: Release) -> None:
    """The gateway's callers have none."""
    found = {
        name: environment(release.find("Deployment", name)["spec"]["template"]["spec"]["containers"][0])
        for name in ("gateway", "encoder", "adapter", "decoder")
    }
    assert {name for name, settings in found.items() if "EUREKA_TLS__CLIENT_CA" in settings} == {
        "encoder",
        "adapter",
        "decoder",
    }


def batches_may_have_jobs(release: Release) -> None:
    """A template that is a whole pod, the rights to make Jobs of it, and no others."""
    template = release.find("ConfigMap", "burst-template")["data"]["pod.yaml"]
    pod = yaml.safe_load(template)
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "batch"},
        "spec": {"template": pod},
    }
    assert problems(job) == []
    as_pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "b", **pod["metadata"]},
        "spec": pod["spec"],
    }
    wrapped = Release([as_pod], [], "", "", [])
    for name in ("images_are_pinned", "resources_are_bounded", "pods_are_restricted", "secrets_are_secret"):
        assert list(POLICIES[name](wrapped)) == []
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["restartPolicy"] == "OnFailure"
    gateway = release.find("Deployment", "gateway")["spec"]["template"]["spec"]
    settings = environment(gateway["containers"][0])
    assert settings["EUREKA_BURST__TEMPLATE"] == "/etc/eureka/burst/pod.yaml"
    assert settings["EUREKA_BURST__ENABLED"] == "true"
    mounts = {mount["name"]: mount["mountPath"] for mount in gateway["containers"][0]["volumeMounts"]}
    assert mounts["burst"] == "/etc/eureka/burst"
    rules = release.find("Role", "burst")["rules"]
    assert [(rule["apiGroups"], rule["resources"]) for rule in rules] == [
        (["batch"], ["jobs"]),
        ([""], ["configmaps"]),
    ]
    assert rules[0]["verbs"] == ["create", "get", "list", "watch", "delete"]
    assert rules[1]["verbs"] == ["get"] and rules[1]["resourceNames"] == ["eureka-burst-template"]
    assert settings["EUREKA_BURST__OWNER"] == "ConfigMap/eureka-burst-template"


def two_checkpoints_are_served(release: Release) -> None:
    """Side by side, each with pods and Services of its own; the gateway weighs them."""
    stable = release.find("Deployment", "decoder")["spec"]
    canary = release.find("Deployment", "decoder-canary")["spec"]
    assert stable["selector"] != canary["selector"]
    folders = [
        environment(one["template"]["spec"]["containers"][0])["EUREKA_CHECKPOINT"] for one in (stable, canary)
    ]
    assert folders == ["/app/checkpoints/eureka-nano", "/checkpoint"]
    gateway = release.find("Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]
    settings = environment(gateway)
    assert settings["EUREKA_GATEWAY__CANARY_PERCENT"] == "10"
    assert "eureka-decoder-canary.default" in settings["EUREKA_GATEWAY__CANARY_DECODER_TARGET"]
    assert "eureka-decoder.default" in settings["EUREKA_GATEWAY__DECODER_TARGET"]


def one_pool_hears(release: Release) -> None:
    """Fused: encoder and adapter in one Triton."""
    assert [one for one in release.all("Deployment") if one["metadata"]["name"] == "eureka-adapter"] == []
    pod = release.find("Deployment", "encoder")["spec"]["template"]["spec"]
    triton = next(one for one in pod["initContainers"] if one["name"] == "triton")
    assert environment(triton)["EUREKA_TRITON__MODELS"] == "audio_encoder,moe_adapter,audio_frontend"
    gateway = environment(release.find("Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0])
    assert gateway["EUREKA_GATEWAY__EMBEDDING_PATH"] == "fused"


def checkpoint_is_fetched_and_checked(release: Release) -> None:
    """Before Triton starts, into the folder that all containers read."""
    pod = release.find("Deployment", "decoder")["spec"]["template"]["spec"]
    names = [one["name"] for one in pod["initContainers"]]
    assert names.index("check-checkpoint") < names.index("triton")
    fetching = pod["initContainers"][names.index("check-checkpoint")]
    assert f"--sha256={'ab' * 32}" in fetching["command"]
    triton = pod["initContainers"][names.index("triton")]
    for container in (triton, pod["containers"][0]):
        assert environment(container)["EUREKA_CHECKPOINT"] == fetching["command"][3]
        assert any(m["name"] == "checkpoint" and m["readOnly"] for m in container["volumeMounts"])


def gateway_is_reached_by_an_ingress(release: Release) -> None:
    rule = release.find("Ingress", "gateway")["spec"]["rules"][0]
    assert rule["host"] == "eureka.example.com"
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == "eureka-gateway"


def gateway_is_reached_by_a_route(release: Release) -> None:
    backend = release.find("GRPCRoute", "gateway")["spec"]["rules"][0]["backendRefs"][0]
    service = release.find("Service", "gateway")
    assert backend == {"name": service["metadata"]["name"], "port": service["spec"]["ports"][0]["port"]}


@dataclass(frozen=True, slots=True)
class Toggle:
    """A toggle, what it must do, and faults in the chart that this must notice."""

    name: str
    check: Check
    faults: tuple[tuple[str, str, str], ...]


CHECKED = (
    Toggle(
        "keda",
        stages_scale_by_what_waits,
        (
            ("scaledobjects.yaml", '.Values.autoscaling.kind "keda"', '.Values.autoscaling.kind "none"'),
            ("_scaling.tpl", "sum(eureka_requests_waiting{", "sum(eureka_requests_queued{"),
            ("scaledobjects.yaml", "minReplicaCount: {{ $pool.scaling.min }}", "minReplicaCount: 1"),
        ),
    ),
    Toggle(
        "hpa",
        pools_scale_by_cpu,
        (("horizontalscalers.yaml", "name: cpu", "name: memory"),),
    ),
    Toggle(
        "hpa-external",
        pools_scale_by_our_metrics,
        (("horizontalscalers.yaml", "lane: {{ $pool.lane }}", "lane: bulk"),),
    ),
    Toggle(
        "tls",
        all_speak_tls,
        (
            ("_pods.tpl", '"EUREKA_TLS__ROOT_CA"', '"EUREKA_TLS__CLIENT_CA"'),
            ("_pods.tpl", "- {name: tls, mountPath: /etc/eureka/tls, readOnly: true}", ""),
            ("_pods.tpl", 'append $exec "--live" | toJson', "$exec | toJson"),
        ),
    ),
    Toggle(
        "tls-mutual",
        stages_ask_for_certificates,
        (("_pods.tpl", 'list "encoder" "adapter" "decoder"', 'list "encoder" "adapter"'),),
    ),
    Toggle(
        "burst",
        batches_may_have_jobs,
        (
            ("workers/_pod.tpl", '"restartPolicy" "OnFailure"', '"restartPolicy" "Always"'),
            ("workers/burst.yaml", "resources: [jobs]", "resources: [jobs, secrets]"),
            ("workers/burst.yaml", "verbs: [create, get", 'verbs: ["*", get'),
            ("gateway/_env.tpl", '"/etc/eureka/burst/pod.yaml"', '"/etc/eureka/pod.yaml"'),
            ("workers/_pod.tpl", "automountServiceAccountToken: false", "automountServiceAccountToken: true"),
        ),
    ),
    Toggle(
        "canary",
        two_checkpoints_are_served,
        (("_names.tpl", 'if eq .track "canary"', 'if eq .track "none"'),),
    ),
    Toggle(
        "fused",
        one_pool_hears,
        (("stages/_env.tpl", "audio_encoder,moe_adapter,audio_frontend", "audio_encoder"),),
    ),
    Toggle(
        "checkpoint-s3",
        checkpoint_is_fetched_and_checked,
        (("_checkpoint.tpl", '- --sha256={{ required "checkpoint.sha256" .checkpoint.sha256 }}', ""),),
    ),
    Toggle("checkpoint-oci", checkpoint_is_fetched_and_checked, ()),
    Toggle("ingress", gateway_is_reached_by_an_ingress, ()),
    Toggle("gateway-api", gateway_is_reached_by_a_route, ()),
)


@pytest.mark.parametrize("toggle", CHECKED, ids=[toggle.name for toggle in CHECKED])
def test_toggle_changes_what_it_should(toggle: Toggle, helm: Helm) -> None:
    toggle.check(helm.rendered(merged_values(operated("dev"), TOGGLES[toggle.name])))


FAULTS = {
    f"{toggle.name}-{number}": (toggle, fault)
    for toggle in CHECKED
    for number, fault in enumerate(toggle.faults)
}


@pytest.mark.parametrize(("toggle", "fault"), FAULTS.values(), ids=FAULTS)
def test_fault_in_the_chart_is_noticed(
    toggle: Toggle, fault: tuple[str, str, str], helm: Helm, tmp_path: Path
) -> None:
    path, old, new = fault
    broken = chart_copy(tmp_path, f"templates/{path}", old, new)
    values = merged_values(operated("dev"), TOGGLES[toggle.name])
    with pytest.raises((AssertionError, HelmRefused, KeyError)):
        toggle.check(helm.rendered(values, broken))


def test_nothing_of_a_toggle_is_there_when_it_is_off(helm: Helm) -> None:
    kinds = {one["kind"] for one in helm.rendered(operated("dev")).manifests}
    off = {"ScaledObject", "HorizontalPodAutoscaler", "Certificate", "Role", "RoleBinding", "Ingress"}
    assert not kinds & (off | {"GRPCRoute", "ServiceMonitor", "PrometheusRule", "NetworkPolicy"})


def test_gateway_may_make_jobs_and_nothing_else(helm: Helm) -> None:
    objects = helm.api.objects
    with helm.installed(merged_values(operated("dev"), TOGGLES["burst"])):
        token = token_of("default", "eureka-gateway")
        jobs, secrets = (
            Address(_kind(*names), "default", "one") for names in (("batch/v1", "Job"), ("v1", "Secret"))
        )
        for verb in ("create", "get", "list", "watch", "delete"):
            check(objects, token, verb, jobs)
        for verb, address in (("patch", jobs), ("get", secrets), ("create", secrets)):
            with pytest.raises(Refused, match="cannot"):
                check(objects, token, verb, address)
        with pytest.raises(Refused, match="cannot"):
            check(objects, token_of("default", "eureka-worker"), "create", jobs)
        with pytest.raises(Refused, match="cannot"):
            check(objects, token, "create", Address(jobs.kind, "kube-system", "one"))


def _kind(api_version: str, name: str):  # type: ignore[no-untyped-def]
    found = kind_of(api_version, name)
    assert found is not None
    return found


def test_hpa_refuses_pools_that_would_go_to_zero(helm: Helm) -> None:
    values = {"autoscaling": {"kind": "hpa"}, "decoder": {"autoscaling": {"min": 0}}}
    with pytest.raises(HelmRefused, match=r"decoder.autoscaling.min: 0 needs autoscaling.kind keda"):
        helm.install(merged_values(operated("dev"), values))


def test_templates_name_no_version_of_their_own(repo_root: Path) -> None:
    for path in (CHART / "templates").rglob("*.*"):
        assert not re.search(r":latest\b", path.read_text()), path
