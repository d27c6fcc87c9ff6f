"""Values: the schema is closed, describes each name, and refuses what would harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.helpers.chart_cluster import operated
from tests.helpers.helm import CHART, Helm, HelmRefused, merged_values

SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each schema of a value, by its place."""
    for name, inner in (schema.get("properties") or {}).items():
        yield f"{path}.{name}", inner
        yield from nodes(inner, f"{path}.{name}")


def all_nodes() -> list[tuple[str, dict[str, Any]]]:
    definitions = [(f"$defs.{name}", schema) for name, schema in SCHEMA["$defs"].items()]
    inner = [node for name, schema in definitions for node in nodes(schema, name)]
    return [*nodes(SCHEMA), *definitions, *inner]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return {**SCHEMA["$defs"].get(name, {}), **schema}


def test_each_value_is_described() -> None:
    assert [path for path, schema in all_nodes() if not schema.get("description")] == []


def test_each_object_with_names_is_closed() -> None:
    open_ones = [
        path
        for path, schema in [("", SCHEMA), *all_nodes()]
        if "properties" in schema and schema.get("additionalProperties") is not False
    ]
    assert open_ones == []


def test_schema_and_defaults_name_the_same_values() -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(values: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
        known = resolved(schema).get("properties")
        if known is None or not isinstance(values, dict):
            return
        optional = {"global", "sizeLimit", "resources"}
        yield from (f"{path}.{name} has no default" for name in known.keys() - values.keys() - optional)
        for name, value in values.items():
            yield from compare(value, known[name], f"{path}.{name}")

    assert list(compare(defaults, SCHEMA, "")) == []


REFUSED = {
    "unknown-name": ({"gatway": {}}, "gatway"),
    "unknown-name-inside": ({"decoder": {"replica": 2}}, "replica"),
    "ingress-without-keys": ({"ingress": {"enabled": True, "host": "a.example.com"}}, "existingSecret"),
    "route-without-keys": (
        {"gatewayApi": {"enabled": True, "parentRefs": [{"name": "a"}]}},
        "existingSecret",
    ),
    "open-behind-an-ingress": (
        {
            "ingress": {"enabled": True, "host": "a.example.com"},
            "gateway": {"open": True, "keys": {"existingSecret": "eureka-keys"}},
        },
        "open",
    ),
    "latest": ({"images": {"service": {"tag": "latest"}}}, "tag"),
    "latest-of-bundled": ({"queue": {"bundled": {"image": "docker.io/valkey/valkey:latest"}}}, "image"),
    "image-without-tag": ({"storage": {"bundled": {"image": "quay.io/minio/minio"}}}, "image"),
    "no-limits": ({"gateway": {"resources": {"limits": None}}}, "limits"),
    "secret-as-a-setting": ({"gateway": {"env": {"EUREKA_STORAGE__SECRET_KEY": "x"}}}, "SECRET_KEY"),
    "foreign-variable": ({"decoder": {"env": {"PATH": "/"}}}, "PATH"),
    "s3-without-checksum": ({"checkpoint": {"source": "s3"}}, "sha256"),
    "claim-without-name": ({"checkpoint": {"source": "claim"}}, "existingClaim"),
    "half-a-gpu": ({"decoder": {"gpu": {"count": 0.5}}}, "count"),
    "unknown-lane": ({"workers": {"urgent": {"enabled": True}}}, "urgent"),
    "percent": ({"canary": {"percent": 101}}, "percent"),
    "level": ({"logLevel": "verbose"}, "logLevel"),
}


@pytest.mark.parametrize(("values", "named"), REFUSED.values(), ids=REFUSED)
def test_value_that_would_harm_is_refused(values: dict[str, Any], named: str, helm: Helm) -> None:
    with pytest.raises(HelmRefused, match=named):
        helm.install(merged_values(operated("dev"), values))


def test_missing_parts_are_named_with_the_way_out(helm: Helm) -> None:
    for values, named in (
        ({"queue": {"bundled": {"enabled": False}}}, "queue.existingSecret"),
        ({"storage": {"bundled": {"enabled": False}}}, "storage.endpoint|storage.existingSecret"),
        ({"gateway": {"open": False}}, "gateway.keys.existingSecret"),
        ({"autoscaling": {"kind": "keda"}}, "autoscaling.prometheus.serverAddress"),
        ({"tls": {"enabled": True}}, "tls.certManager.issuerName"),
    ):
        with pytest.raises(HelmRefused, match=named):
            helm.install(merged_values(operated("dev"), values))


def test_chart_is_linted(helm: Helm) -> None:
    assert "[ERROR]" not in json.dumps(helm.lint())
