"""Alerts fire on what must make them, name what the code exports, and lead to a page that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.exported_metrics import SCRAPED, TRITON, exported
from tests.helpers.promql import groupings_in, metrics_in, promtool

RULES = Path("helm/eureka/rules/eureka.yaml")
TESTS = Path("tests/contract/observability/alerts.yaml")
PAGE = "docs/operations.md"


@pytest.fixture(scope="module")
def rules(repo_root: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((repo_root / RULES).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def alerts(rules: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def test_rules_are_valid_and_fire_on_what_must_make_them(repo_root: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", repo_root / RULES)
    assert "SUCCESS" in promtool("test", "rules", repo_root / TESTS)


def test_every_alert_is_tried_on_series_that_fire_it_and_on_others(
    repo_root: Path, alerts: dict[str, dict[str, Any]]
) -> None:
    groups = yaml.safe_load((repo_root / TESTS).read_text())["tests"]
    tried = [each for group in groups for each in group.get("alert_rule_test", ())]
    fired = {each["alertname"] for each in tried if each["exp_alerts"]}
    quiet = {each["alertname"] for each in tried if not each["exp_alerts"]}
    assert fired == set(alerts) and len(alerts) >= 20
    assert quiet == set(alerts)


def test_expressions_name_what_the_code_exports(rules: list[dict[str, Any]]) -> None:
    known = (
        exported() | TRITON | {rule["record"]: {"namespace", "expert"} for rule in rules if "record" in rule}
    )
    for rule in rules:
        labels: set[str] = set()
        for name, asked in metrics_in(rule["expr"]):
            assert name in known, f"{rule.get('alert')}: no {name} is exported"
            assert asked <= known[name] | SCRAPED, f"{name} has no {asked - known[name]}"
            labels |= known[name]
        assert labels, rule
        assert groupings_in(rule["expr"]) <= labels | SCRAPED | {"le"}, rule["expr"]


def test_every_alert_leads_to_its_section_and_every_section_to_an_alert(
    repo_root: Path, alerts: dict[str, dict[str, Any]]
) -> None:
    text = (repo_root / PAGE).read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (Eureka\w+)\n+((?:(?!^#).*\n)+)", text, re.MULTILINE))
    assert set(sections) == set(alerts)
    for name, alert in alerts.items():
        assert alert["annotations"]["runbook_url"] == f"{PAGE}#{name.lower()}"
        paragraph = sections[name]
        for part in ("*Means:*", "*Look at:*", "*Do:*"):
            assert part in paragraph, f"{name} does not say {part}"


def test_alerts_say_how_urgent_they_are_and_what_is_the_matter(alerts: dict[str, dict[str, Any]]) -> None:
    for name, alert in alerts.items():
        assert re.fullmatch(r"Eureka[A-Z][A-Za-z]+", name)
        assert alert["labels"]["severity"] in ("critical", "warning", "info"), name
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}, name
        assert alert["annotations"]["summary"].endswith("."), name
