"""docker-compose.yml: one form for both composes, settings that exist, pinned images, health in order."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from eureka.runtime.settings import Settings, known_names
from tests.helpers.image_builder import builder
from tests.images.compose_user import compose_program, env_file

OURS = {"gateway", "encoder", "adapter", "decoder", "triton", "worker", "storage-init"}
PROGRAM_LESS = {"storage-init", "otel-collector"}
"""The first ends by itself, the image of the second holds no program to ask with."""
VARIABLE = re.compile(r"\$\{(\w+)(?::?[-?]([^}]*))?\}")


@pytest.fixture(scope="module")
def text(repo_root: Path) -> str:
    return (repo_root / "docker-compose.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose(text: str) -> dict[str, Any]:
    plain: dict[str, Any] = yaml.safe_load(text)
    return plain


def _defaults(value: str) -> str:
    """A value as it is without .env."""
    return VARIABLE.sub(lambda found: found.group(2) or "", value)


def test_form_is_what_both_composes_take(compose: dict[str, Any]) -> None:
    assert compose["version"] == "3.8"
    known = {"version", "services", "volumes", "networks"}
    assert {key for key in compose if not key.startswith("x-")} == known


def test_every_service_has_a_health_check(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        check = service["healthcheck"]
        if name in PROGRAM_LESS:
            assert check == {"disable": True}, name
        else:
            assert check["test"][0] == "CMD" and check["interval"] and check["timeout"], name


def test_what_is_waited_for_can_be_healthy(compose: dict[str, Any]) -> None:
    waits = 0
    for name, service in compose["services"].items():
        for other, how in service.get("depends_on", {}).items():
            ends = other == "storage-init"
            expected = "service_completed_successfully" if ends else "service_healthy"
            assert how == {"condition": expected}, f"{name} -> {other}"
            assert other in compose["services"]
            waits += 1
    assert waits >= 13


def test_images_are_pinned_and_ours_are_those_that_make_images_builds(compose: dict[str, Any]) -> None:
    built = {f"eureka-{name}:{builder.package_version()}" for name in builder.NAMES}
    used = {name: _defaults(service["image"]) for name, service in compose["services"].items()}
    assert {used[name] for name in OURS} == built
    for name, image in used.items():
        tag = image.rpartition(":")[2]
        assert "/" not in tag and tag != "latest" and any(map(str.isdigit, tag)), f"{name}: {image}"


def test_names_of_settings_exist(repo_root: Path, compose: dict[str, Any]) -> None:
    known = set(known_names(Settings))
    named = {name for service in compose["services"].values() for name in service.get("environment", {})}
    example = (repo_root / ".env.example").read_text(encoding="utf-8")
    named |= set(re.findall(r"^#?(EUREKA_\w+)=", example, re.MULTILINE))
    settings = {name for name in named if name.startswith("EUREKA_")}
    assert len(settings) > 20 and settings <= known


def test_every_variable_of_the_file_stands_in_the_example_or_has_a_default(
    repo_root: Path, text: str
) -> None:
    example = (repo_root / ".env.example").read_text(encoding="utf-8")
    offered = set(re.findall(r"^#?([A-Z_0-9]+)=", example, re.MULTILINE))
    demanded = set(re.findall(r"\$\{(\w+):\?", text))
    assert demanded and demanded <= set(re.findall(r"^([A-Z_0-9]+)=", example, re.MULTILINE))
    used = {found.group(1) for found in VARIABLE.finditer(text)}
    assert offered - {"COMPOSE_PROFILES", "EUREKA_GATEWAY__KEYS_FILE"} <= used


def test_ports_are_those_of_the_settings(compose: dict[str, Any]) -> None:
    # The shipped defaults, whatever this environment says.
    sections: dict[str, Any] = {
        name: Settings.model_fields[name].annotation for name in ("gateway", *_STAGES)
    }
    ports = {name: section.model_fields["port"].default for name, section in sections.items()}
    services = compose["services"]
    assert _defaults(services["gateway"]["ports"][0]) == f"127.0.0.1:50050:{ports['gateway']}"
    for user in ("gateway", "worker"):
        targets = {key: _defaults(str(value)) for key, value in _environment(services[user]).items()}
        for stage in _STAGES:
            assert targets[f"EUREKA_GATEWAY__{stage.upper()}_TARGET"] == f"{stage}:{ports[stage]}"


_STAGES = ("encoder", "adapter", "decoder")


def _environment(service: dict[str, Any]) -> dict[str, Any]:
    environment: dict[str, Any] = service.get("environment", {})
    return environment


def test_only_who_is_called_from_outside_publishes_and_only_to_this_machine(compose: dict[str, Any]) -> None:
    published = {
        name: service["ports"] for name, service in compose["services"].items() if "ports" in service
    }
    assert set(published) == {"gateway", "minio", "rustfs", "prometheus", "grafana"}
    assert all(_defaults(port).startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert all(compose["networks"][name] == {"internal": True} for name in ("stages", "models", "queue"))


def test_ours_run_with_least_rights(compose: dict[str, Any]) -> None:
    for name in OURS:
        service = compose["services"][name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_metrics_that_prometheus_asks_are_where_the_images_show_them(repo_root: Path) -> None:
    config = yaml.safe_load((repo_root / "docker/compose/prometheus.yml").read_text(encoding="utf-8"))
    ports = {job["job_name"]: job["dns_sd_configs"][0]["port"] for job in config["scrape_configs"]}
    service = (repo_root / "docker/Dockerfile.service").read_text(encoding="utf-8")
    assert set(re.findall(r"METRICS_PORT=(\d+)", service)) == {str(ports["eureka"])}
    assert ports["triton"] == 8002


@pytest.mark.skipif(compose_program() is None, reason="no docker-compose (Debian: docker-compose)")
@pytest.mark.parametrize("profiles", ["minio", "rustfs", "minio,observability"])
def test_compose_takes_the_file(repo_root: Path, tmp_path: Path, profiles: str) -> None:
    program = compose_program()
    assert program
    values = env_file(repo_root, tmp_path / "values.env", COMPOSE_PROFILES=profiles)
    command = [*program, "--env-file", str(values), "--file", str(repo_root / "docker-compose.yml"), "config"]
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert services["gateway"]["environment"]["EUREKA_STORAGE__BUCKET"] == "eureka"
