"""Strict validation of manifests: the published schemas of Kubernetes, and closed ones of foreign kinds."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

OLDEST = "1.33"
"""Least Kubernetes that the chart is for: native sidecars are stable there."""

VERSIONS = (OLDEST, ".".join(kubernetes_validate.latest_version().split(".")[:2]))

FOREIGN = Path(__file__).with_name("foreign_kinds.yaml")
"""apiVersion/Kind -> schema of the fields that we use, all others refused."""


def problems(manifest: dict[str, Any]) -> list[str]:
    """What is wrong with a manifest, in the oldest and the newest version; empty when nothing is."""
    return list(_problems(json.dumps(manifest)))


@functools.lru_cache(maxsize=4_096)  # charts are installed again and again
def _problems(text: str) -> tuple[str, ...]:
    manifest, found = json.loads(text), []
    for version in VERSIONS:
        try:
            validator = _validator(version, manifest["apiVersion"], manifest["kind"])
        except LookupError as error:
            return (str(error),)
        for error in validator.iter_errors(manifest):
            place = ".".join(map(str, error.absolute_path))
            found.append(f"{version}: {place}: {error.message[:300]}")
    return tuple(found)


@functools.cache
def _validator(version: str, api_version: str, kind: str) -> Draft202012Validator:
    foreign = _foreign().get(f"{api_version}/{kind}")
    if foreign is not None:
        return Draft202012Validator(_with_metadata(foreign, api_version, kind))
    group, _, tail = api_version.rpartition("/")
    short = f"{group.split('.')[0]}-{tail}" if group else tail
    folder = f"kubernetes-json-schema/v{version}.0-local-strict"
    try:
        schema = schema_contents(f"{folder}/{kind.lower()}-{short}.json", version)
    except FileNotFoundError:
        raise LookupError(f"no kind {kind} in {api_version} of Kubernetes {version}") from None
    return Draft202012Validator(schema, registry=_registry(version, schema["$id"], schema))


def _registry(version: str, name: str, schema: dict[str, Any]) -> Any:
    return Resource.from_contents(schema) @ _definitions(version)


@functools.cache
def _definitions(version: str) -> Any:
    contents = schema_contents(f"kubernetes-json-schema/v{version}.0-local-strict/_definitions.json", version)
    return Resource.from_contents(contents) @ Registry()


@functools.cache
def _foreign() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FOREIGN.read_text())
    return {kind: schema for kind, schema in found.items() if not kind.startswith("x-")}


def _with_metadata(spec: dict[str, Any], api_version: str, kind: str) -> dict[str, Any]:
    names = {"type": "object", "additionalProperties": {"type": "string"}}
    metadata = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "labels": names, "annotations": names},
    }
    properties = {
        "apiVersion": {"const": api_version},
        "kind": {"const": kind},
        "metadata": metadata,
        "spec": spec,
        "status": {"type": "object"},
    }
    required = ["apiVersion", "kind", "metadata", "spec"]
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}
