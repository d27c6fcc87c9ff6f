"""Dashboards can be read by Grafana and by people, and name what the code exports; scalers, too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from tests.helpers.exported_metrics import (
    SCRAPED,
    TRITON,
    TRITON_OF_GPUS,
    exported,
    families,
    filled_job_metrics,
    filled_metrics,
)
from tests.helpers.promql import groupings_in, metrics_in, promtool

NAMES = {"overview", "stages", "jobs", "experts"}
UNITS = {"short", "percentunit", "s", "µs", "bytes", "reqps", "ops"}
"""Of Grafana, as far as we use them."""

KNOWN = exported() | TRITON | TRITON_OF_GPUS


@pytest.fixture(scope="module")
def dashboards(repo_root: Path) -> dict[str, Any]:
    folder = repo_root / "helm/eureka/dashboards"
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}


@pytest.fixture(scope="module")
def records(repo_root: Path) -> dict[str, set[str]]:
    groups = yaml.safe_load((repo_root / "helm/eureka/rules/eureka.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return {rule["record"]: {"namespace", "expert"} for rule in rules if "record" in rule}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def expressions(dashboards: dict[str, Any]) -> Iterator[str]:
    for dashboard in dashboards.values():
        for panel in panels(dashboard):
            yield from (target["expr"] for target in panel["targets"])


def plain(expression: str) -> str:
    """As Grafana sends it."""
    return expression.replace("$namespace", ".*").replace("$__rate_interval", "5m")


def test_there_are_four_with_names_of_their_own(dashboards: dict[str, Any]) -> None:
    assert set(dashboards) == NAMES
    assert {each["uid"] for each in dashboards.values()} == {f"eureka-{name}" for name in NAMES}
    assert len({each["title"] for each in dashboards.values()}) == 4


def test_panels_have_ids_places_units_and_descriptions(dashboards: dict[str, Any]) -> None:
    for name, dashboard in dashboards.items():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids), name
        assert len({panel["title"] for panel in panels(dashboard)}) == len(list(panels(dashboard))), name
        for panel in panels(dashboard):
            assert len(panel["description"]) > 10, panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
            references = [target["refId"] for target in panel["targets"]]
            assert references and len(set(references)) == len(references), panel["title"]


def test_panels_do_not_lie_on_each_other(dashboards: dict[str, Any]) -> None:
    for name, dashboard in dashboards.items():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, f"{name}: {panel['title']}"
            taken |= cells


def test_expressions_name_what_the_code_exports(
    dashboards: dict[str, Any], records: dict[str, set[str]]
) -> None:
    known = KNOWN | records
    for expression in expressions(dashboards):
        labels: set[str] = set()
        for name, asked in metrics_in(expression):
            assert name in known, f"no {name} is exported: {expression}"
            assert asked <= known[name] | SCRAPED, expression
            assert "namespace" in asked, f"all releases at once: {expression}"
            labels |= known[name]
        assert groupings_in(expression) <= labels | SCRAPED | {"le"}, expression


def test_expressions_can_be_read(dashboards: dict[str, Any], tmp_path: Path) -> None:
    rules = [
        {"record": f"tests:expression{number}", "expr": plain(expression)}
        for number, expression in enumerate(expressions(dashboards))
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "tests", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)


def test_every_metric_of_ours_is_shown_somewhere(dashboards: dict[str, Any]) -> None:
    """What nobody looks at need not be counted."""
    shown = {name for expression in expressions(dashboards) for name, _ in metrics_in(expression)}
    ours = {name for name in KNOWN if name.startswith("eureka")}
    assert {_family(name) for name in ours} == {_family(name) for name in shown & ours}


def _family(sample: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", sample)


def test_names_and_texts_are_as_prometheus_wants_them() -> None:
    for registry in (filled_metrics().registry, filled_job_metrics()):
        assert promtool("check", "metrics", stdin=generate_latest(registry).decode()) == ""


def test_queries_of_the_scalers_name_what_the_code_exports(repo_root: Path) -> None:
    templates = repo_root / "helm/eureka/templates"
    names = {
        name
        for path in templates.rglob("*")
        if path.is_file()
        for name in re.findall(r"\beureka_[a-z_]+", path.read_text(encoding="utf-8"))
    }
    assert names and names <= set(KNOWN), names - set(KNOWN)


def test_operators_find_every_metric_in_their_page_and_no_other(repo_root: Path) -> None:
    page = (repo_root / "docs/operations.md").read_text(encoding="utf-8")
    section = page[page.index("\n## Metrics\n") : page.index("\n## Traces\n")]
    rows = [line.split("|")[1:4] for line in section.splitlines() if line.startswith("| `eureka_")]
    told = {name: labels for names, labels, _ in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(told) == set(families())
    samples = exported()
    for name, labels in told.items():
        shown = samples.get(name) or samples[f"{name}_bucket"]
        assert set(re.findall(r"\w+", labels)) | {"component"} == shown - {"le"}, name
