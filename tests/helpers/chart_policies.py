"""What must hold of every rendered chart: one function a rule, each tells what breaks it.

Rules look at manifests alone, so they hold for any values; `POLICIES` has them by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from tests.helpers.helm import Manifest, Release
from tests.helpers.kube.rules import pod_of

WORKLOADS = ("Deployment", "StatefulSet", "Job", "Pod")
STAGES = ("encoder", "adapter", "decoder")

Policy = Callable[[Release], Iterator[str]]


def pods(release: Release) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Name, labels and spec of each pod that the release makes."""
    for manifest in (*release.manifests, *release.hooks):
        spec = pod_of(manifest)
        if spec is not None and manifest["kind"] in WORKLOADS:
            template = manifest if manifest["kind"] == "Pod" else manifest["spec"]["template"]
            yield manifest["metadata"]["name"], template["metadata"]["labels"], spec


def containers(release: Release) -> Iterator[tuple[str, Manifest]]:
    """Name and spec of each container, those of init included."""
    for name, _, spec in pods(release):
        for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
            yield f"{name}/{container['name']}", container


def environment(container: Manifest) -> dict[str, str]:
    """Variables with a plain value."""
    return {entry["name"]: entry["value"] for entry in container.get("env") or [] if "value" in entry}


def images_are_pinned(release: Release) -> Iterator[str]:
    """No image without a tag, none that is `latest`."""
    for name, container in containers(release):
        image = container["image"]
        _, colon, tag = image.rpartition("/")[2].partition(":")
        if "@sha256:" not in image and (not colon or tag in ("", "latest")):
            yield f"{name}: {image}"


def resources_are_bounded(release: Release) -> Iterator[str]:
    """Requests and limits of cpu and memory on every container."""
    for name, container in containers(release):
        for part, resource in product(("requests", "limits"), ("cpu", "memory")):
            if resource not in ((container.get("resources") or {}).get(part) or {}):
                yield f"{name}: no {part} of {resource}"


def pods_are_restricted(release: Release) -> Iterator[str]:
    """What the Pod Security level `restricted` asks for, a read-only root beside."""
    for name, _, spec in pods(release):
        context = spec.get("securityContext") or {}
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{name}: may run as root"
        if (context.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
            yield f"{name}: no seccomp profile"
        if any(spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name}: shares the host"
        if any("hostPath" in volume for volume in spec.get("volumes") or []):
            yield f"{name}: mounts the host"
    for name, container in containers(release):
        context = container.get("securityContext") or {}
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            yield f"{name}: may gain rights"
        if context.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name}: keeps capabilities"
        if context.get("readOnlyRootFilesystem") is not True:
            yield f"{name}: writes its root"


def tokens_are_for_burst_alone(release: Release) -> Iterator[str]:
    """No pod has a token of the cluster but the gateway's, and that only where it may make Jobs."""
    bursts = any(manifest["kind"] == "RoleBinding" for manifest in release.manifests)
    for name, labels, spec in pods(release):
        may = bursts and labels["app.kubernetes.io/component"] == "gateway"
        if spec.get("automountServiceAccountToken") is not may:
            yield f"{name}: automountServiceAccountToken is not {may}"
    for account in release.all("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{account['metadata']['name']}: gives its token to all pods"


def servers_are_probed(release: Release) -> Iterator[str]:
    """Liveness and readiness on all that serves; sidecars are started before who needs them."""
    for name, _, spec in pods(release):
        if spec.get("restartPolicy") in ("Never", "OnFailure"):
            continue
        for container in spec["containers"]:
            for probe in ("livenessProbe", "readinessProbe"):
                if probe not in container:
                    yield f"{name}/{container['name']}: no {probe}"
        for container in spec.get("initContainers") or []:
            if container.get("restartPolicy") == "Always" and "startupProbe" not in container:
                yield f"{name}/{container['name']}: a sidecar without a startupProbe"


def stages_drain(release: Release) -> Iterator[str]:
    """Triton is a native sidecar over shared memory, and the grace covers all that a stop takes."""
    for name, labels, spec in pods(release):
        component = labels["app.kubernetes.io/component"]
        if component in STAGES:
            triton = [one for one in spec["initContainers"] if one["name"] == "triton"]
            if not triton or triton[0].get("restartPolicy") != "Always":
                yield f"{name}: Triton is no native sidecar"
            memory = [v for v in spec["volumes"] if (v.get("emptyDir") or {}).get("medium") == "Memory"]
            shares = [
                m["name"] for c in (*triton, *spec["containers"]) for m in c["volumeMounts"]
                if m["mountPath"] == "/dev/shm"
            ]  # fmt: skip
            if not memory or shares != [memory[0]["name"]] * 2:
                yield f"{name}: service and Triton share no memory"
        if component in (*STAGES, "gateway"):
            yield from _grace(name, component, spec)


def _grace(name: str, component: str, spec: Manifest) -> Iterator[str]:
    container = spec["containers"][0]
    settings = environment(container)
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    prefix = f"EUREKA_{component.upper()}__"
    needed = waits + sum(float(settings[f"{prefix}{part}_SECONDS"]) for part in ("DRAIN", "GRACE"))
    if spec["terminationGracePeriodSeconds"] <= needed:
        yield f"{name}: killed after {spec['terminationGracePeriodSeconds']} s, needs {needed:g}"
    if float(settings[f"{prefix}DRAIN_SECONDS"]) <= 0:
        yield f"{name}: readiness does not go off first"


def secrets_are_secret(release: Release) -> Iterator[str]:
    """Nothing secret stands in a variable, an argument or a ConfigMap."""
    secret = re.compile(r"(PASSWORD|SECRET|ACCESS_KEY|API_KEY|TOKEN|QUEUE__URL)$")
    for name, container in containers(release):
        for variable in environment(container):
            if secret.search(variable):
                yield f"{name}: {variable} in plain text"
        for argument in (*(container.get("args") or []), *(container.get("command") or [])):
            if re.search(r"redis://:[^$@]+@|Bearer [A-Za-z0-9]", argument):
                yield f"{name}: a secret in an argument"
    for manifest in release.all("ConfigMap"):
        if any(re.search(r"redis://:\S+@", text) for text in (manifest.get("data") or {}).values()):
            yield f"{manifest['metadata']['name']}: a secret in a ConfigMap"


def selectors_match(release: Release) -> Iterator[str]:
    """Each Service, budget and policy of a component finds a pod; each monitor a Service."""
    labels = [found for _, found, _ in pods(release)]
    labels += [{**found, "eureka.audio/lane": "burst"} for found in labels]
    for manifest in release.manifests:
        kind, name, spec = manifest["kind"], manifest["metadata"]["name"], manifest.get("spec") or {}
        wanted = {
            "Service": spec.get("selector"),
            "PodDisruptionBudget": (spec.get("selector") or {}).get("matchLabels"),
            "NetworkPolicy": (spec.get("podSelector") or {}).get("matchLabels"),
        }.get(kind)
        if wanted is not None and not any(wanted.items() <= found.items() for found in labels):
            yield f"{kind} {name} finds no pod: {wanted}"
        if kind == "ServiceMonitor":
            yield from _monitored(release, manifest)
        if kind in ("ScaledObject", "HorizontalPodAutoscaler"):
            target = spec["scaleTargetRef"]["name"]
            found = [d for d in release.all("Deployment") if d["metadata"]["name"] == target]
            if len(found) != 1 or "replicas" in found[0]["spec"]:
                yield f"{kind} {name}: {target} is not there, or keeps a number of its own"


def _monitored(release: Release, monitor: Manifest) -> Iterator[str]:
    wanted = monitor["spec"]["selector"]["matchLabels"]
    found = [s for s in release.all("Service") if wanted.items() <= s["metadata"]["labels"].items()]
    ports = {port["name"] for service in found for port in service["spec"]["ports"]}
    for endpoint in monitor["spec"]["endpoints"]:
        if endpoint["port"] not in ports:
            yield f"ServiceMonitor {monitor['metadata']['name']}: no Service with port {endpoint['port']}"


def ports_agree(release: Release) -> Iterator[str]:
    """What a Service sends to is a port of its pods, and the one that the settings name."""
    for service in release.all("Service"):
        wanted = service["spec"]["selector"]
        for _, labels, spec in pods(release):
            if not wanted.items() <= labels.items():
                continue
            known = _ports(spec)
            for port in service["spec"]["ports"]:
                if port["targetPort"] not in known:
                    yield f"Service {service['metadata']['name']}: no port {port['targetPort']}"
    for name, labels, spec in pods(release):
        component, known = labels["app.kubernetes.io/component"], _ports(spec)
        for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
            settings = environment(container)
            for setting, port in (
                (f"EUREKA_{component.upper()}__PORT", "grpc"),
                (f"EUREKA_{component.upper()}__METRICS_PORT", "metrics"),
                ("EUREKA_TRITON__METRICS_PORT", "triton-metrics"),
            ):
                if setting in settings and int(settings[setting]) != known.get(port):
                    yield f"{name}: {setting} is {settings[setting]}, the port {port} {known.get(port)}"


def _ports(spec: Manifest) -> dict[str, int]:
    found = [*(spec.get("initContainers") or []), *spec["containers"]]
    return {port["name"]: port["containerPort"] for one in found for port in one.get("ports") or []}


def targets_exist(release: Release) -> Iterator[str]:
    """Addresses of stages and bundled servers are those of Services of this release."""
    known = {
        f"{service['metadata']['name']}:{port['port']}"
        for service in release.all("Service")
        for port in service["spec"]["ports"]
    }
    for name, container in containers(release):
        for variable, value in environment(container).items():
            found = re.match(r"(?:dns:///|http://)?(eureka-[a-z-]+)\.[a-z.-]+:(\d+)$", value)
            if found and f"{found[1]}:{found[2]}" not in known:
                yield f"{name}: {variable} is {value}, which no Service is"


def policies_cover_components(release: Release) -> Iterator[str]:
    """Where there are policies, all pods are closed, and each component has what opens it."""
    policies = release.all("NetworkPolicy")
    if not policies:
        return
    default = [p for p in policies if not p["spec"].get("ingress") and not p["spec"].get("egress")]
    if not default or set(default[0]["spec"]["policyTypes"]) != {"Ingress", "Egress"}:
        yield "nothing denies by default"
    for name, labels, _ in pods(release):
        own = [p for p in policies if p not in default and _selects(p["spec"]["podSelector"], labels)]
        if not own:
            yield f"{name}: no policy of its own"
        if default and not _selects(default[0]["spec"]["podSelector"], labels):
            yield f"{name}: not closed by default"


def policies_are_the_arrows(release: Release) -> Iterator[str]:
    """Between components only what ARCHITECTURE.md draws: who may call whom, on which port."""
    if not release.all("NetworkPolicy"):
        return
    found = set(calls(release))
    servers = {labels["app.kubernetes.io/component"] for _, labels, _ in pods(release)}
    wanted = {(caller, server) for caller, server in ARROWS if server in servers and caller in servers}
    yield from (f"{caller} may call {server}" for caller, server in sorted(found - wanted))
    yield from (f"{caller} cannot call {server}" for caller, server in sorted(wanted - found))


ARROWS = {
    *product(("gateway", "worker"), STAGES),
    *product(("gateway", "worker", "sweeper"), ("queue", "storage")),
    ("test", "gateway"),
}
"""(caller, server) of all calls inside a release."""


def calls(release: Release) -> Iterator[tuple[str, str]]:
    """Pairs of components of which one may call the other on its serving port, both ends allowing it."""
    by_component = {
        labels["app.kubernetes.io/component"]: (labels, spec) for _, labels, spec in pods(release)
    }
    for (caller, (calling, _)), (server, (serving, spec)) in product(by_component.items(), repeat=2):
        ports = {port for name, port in _ports(spec).items() if "metrics" not in name}
        out = _open_ports(release, calling, serving, "egress", "to") & ports
        into = _open_ports(release, serving, calling, "ingress", "from") & ports
        if caller != server and out & into:
            yield caller, server


def _open_ports(release: Release, subject: Manifest, peer: Manifest, way: str, side: str) -> set[int]:
    """Ports on which pods with labels `subject` reach, or are reached by, pods with labels `peer`."""
    found = set()
    for policy in release.all("NetworkPolicy"):
        if not _selects(policy["spec"]["podSelector"], subject):
            continue
        for rule in policy["spec"].get(way) or []:
            peers = rule.get(side)
            if peers is None or any("podSelector" in p and _selects(p["podSelector"], peer) for p in peers):
                found |= {port["port"] for port in rule["ports"]}
    return found


def _selects(selector: dict[str, Any], labels: Manifest) -> bool:
    return (selector.get("matchLabels") or {}).items() <= labels.items()


def writable_places_are_mounted(release: Release) -> Iterator[str]:
    """Where a read-only root would stand in the way there is a volume."""
    for name, container in containers(release):
        mounts = {mount["mountPath"] for mount in container.get("volumeMounts") or []}
        if container.get("image", "").startswith("eureka-") and "/tmp" not in mounts:
            yield f"{name}: no /tmp"
        for variable in ("EUREKA_CACHE_FOLDER", "EUREKA_GATEWAY__UPLOAD_FOLDER"):
            folder = environment(container).get(variable, "")
            if folder and not any(folder.startswith(mount) for mount in mounts):
                yield f"{name}: {variable} is {folder}, which cannot be written"


POLICIES: dict[str, Policy] = {
    policy.__name__: policy
    for policy in (
        images_are_pinned,
        resources_are_bounded,
        pods_are_restricted,
        tokens_are_for_burst_alone,
        servers_are_probed,
        stages_drain,
        secrets_are_secret,
        selectors_match,
        ports_agree,
        targets_exist,
        policies_cover_components,
        policies_are_the_arrows,
        writable_places_are_mounted,
    )
}
