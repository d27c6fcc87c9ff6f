"""What API server and controllers refuse beyond schemas: names, immutable fields, dangling references."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_LABEL = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
_SHORT_NAMES = ("Service", "StatefulSet", "Pod", "Job")

IMMUTABLE = {
    "Deployment": ("spec.selector",),
    "DaemonSet": ("spec.selector",),
    "StatefulSet": (
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
        "spec.podManagementPolicy",
    ),
    "Job": ("spec.selector", "spec.template", "spec.completions", "spec.completionMode"),
    "Service": ("spec.clusterIP",),
    "PersistentVolumeClaim": ("spec.accessModes", "spec.storageClassName", "spec.volumeName"),
    "RoleBinding": ("roleRef",),
    "Secret": ("type",),
}


def name_problems(manifest: Manifest) -> Iterator[str]:
    """Names and labels that no server takes."""
    name, kind = manifest["metadata"]["name"], manifest["kind"]
    limit = 63 if kind in _SHORT_NAMES else 253
    if len(name) > limit or not _NAME.match(name):
        yield f"metadata.name: {name!r} is no name of at most {limit} letters"
    for key, value in (manifest["metadata"].get("labels") or {}).items():
        if not _LABEL.match(value):
            yield f"metadata.labels.{key}: {value!r} is no label"


def selector_problems(manifest: Manifest) -> Iterator[str]:
    """Workloads whose selector does not find their own pods."""
    if manifest["kind"] not in ("Deployment", "StatefulSet", "DaemonSet"):
        return
    wanted = manifest["spec"]["selector"].get("matchLabels") or {}
    given = manifest["spec"]["template"]["metadata"].get("labels") or {}
    if not wanted or any(given.get(key) != value for key, value in wanted.items()):
        yield f"spec.selector: {wanted} does not match the template's labels {given}"


def container_problems(manifest: Manifest) -> Iterator[str]:
    """Mounts without a volume, and names that stand twice."""
    pod = pod_of(manifest)
    if pod is None:
        return
    claims = (manifest.get("spec") or {}).get("volumeClaimTemplates") or []
    volumes = [volume["name"] for volume in pod.get("volumes") or []]
    volumes += [claim["metadata"]["name"] for claim in claims]
    containers = [*(pod.get("initContainers") or []), *pod["containers"]]
    names = [container["name"] for container in containers]
    for listed in (volumes, names):
        yield from (
            f"{name!r} stands twice" for name in sorted({one for one in listed if listed.count(one) > 1})
        )
    for container in containers:
        for mount in container.get("volumeMounts") or []:
            if mount["name"] not in volumes:
                yield f"container {container['name']} mounts {mount['name']!r}, which is no volume"
        variables = [variable["name"] for variable in container.get("env") or []]
        for name in sorted({one for one in variables if variables.count(one) > 1}):
            yield f"container {container['name']} sets {name} twice"


def change_problems(before: Manifest, after: Manifest) -> Iterator[str]:
    """Fields that may not change."""
    contents = ("data", "stringData", "binaryData")
    if before.get("immutable") and any(before.get(key) != after.get(key) for key in contents):
        yield "data: field is immutable when `immutable` is set"
    for path in IMMUTABLE.get(before["kind"], ()):
        old, new = _at(before, path), _at(after, path)
        if old is not None and old != new:
            yield f"{path}: field is immutable"


def pod_of(manifest: Manifest) -> Manifest | None:
    """The pod spec inside a workload; None where there is none."""
    kind, spec = manifest["kind"], manifest.get("spec") or {}
    if kind == "Pod":
        return spec
    if kind == "CronJob":
        found: Manifest = spec["jobTemplate"]["spec"]["template"]["spec"]
        return found
    if kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet"):
        pod: Manifest = spec["template"]["spec"]
        return pod
    return None


def references(manifest: Manifest) -> Iterator[tuple[str, str, str | None]]:
    """(kind, name, key) of what a manifest needs; key is None where the whole object is meant."""
    pod = pod_of(manifest)
    if pod is not None:
        yield from _of_pod(pod, manifest)
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "Ingress":
        yield from (
            ("Secret", entry["secretName"], None) for entry in spec.get("tls") or [] if "secretName" in entry
        )
        for rule in spec.get("rules") or []:
            yield from (
                ("Service", path["backend"]["service"]["name"], None) for path in rule["http"]["paths"]
            )
    if manifest["kind"] in ("ScaledObject", "HorizontalPodAutoscaler"):
        target = spec["scaleTargetRef"]
        yield target.get("kind", "Deployment"), target["name"], None
    if manifest["kind"] == "GRPCRoute":
        yield from (("Service", ref["name"], None) for rule in spec["rules"] for ref in rule["backendRefs"])
    if manifest["kind"] == "RoleBinding":
        yield manifest["roleRef"]["kind"], manifest["roleRef"]["name"], None
        yield from ((subject["kind"], subject["name"], None) for subject in manifest.get("subjects") or [])


def _of_pod(pod: Manifest, manifest: Manifest) -> Iterator[tuple[str, str, str | None]]:
    if pod.get("serviceAccountName"):
        yield "ServiceAccount", pod["serviceAccountName"], None
    yield from (("Secret", entry["name"], None) for entry in pod.get("imagePullSecrets") or [])
    for volume in pod.get("volumes") or []:
        yield from _of_volume(volume)
    for container in [*(pod.get("initContainers") or []), *pod["containers"]]:
        yield from _of_container(container)
    if manifest["kind"] == "StatefulSet":
        yield "Service", manifest["spec"]["serviceName"], None


def _of_volume(volume: Manifest) -> Iterator[tuple[str, str, str | None]]:
    sources = [volume, *((volume.get("projected") or {}).get("sources") or [])]
    for source in sources:
        for field, kind, key in (("secret", "Secret", "secretName"), ("configMap", "ConfigMap", "name")):
            found = source.get(field)
            if found and not found.get("optional"):
                name = found.get(key) or found["name"]
                items = found.get("items") or [{"key": None}]
                yield from ((kind, name, item["key"]) for item in items)
    claim = volume.get("persistentVolumeClaim")
    if claim:
        yield "PersistentVolumeClaim", claim["claimName"], None


def _of_container(container: Manifest) -> Iterator[tuple[str, str, str | None]]:
    for entry in container.get("env") or []:
        source = entry.get("valueFrom") or {}
        for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
            found = source.get(field)
            if found and not found.get("optional"):
                yield kind, found["name"], found["key"]
    for entry in container.get("envFrom") or []:
        for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if entry.get(field):
                yield kind, entry[field]["name"], None


def _at(manifest: Manifest, path: str) -> Any:
    found: Any = manifest
    for word in path.split("."):
        found = found.get(word) if isinstance(found, dict) else None
    return found
