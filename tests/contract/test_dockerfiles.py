"""The Dockerfiles and what they install: pinned, hashed, without root, healthy by our own check."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from eureka.runtime.settings import Settings, known_names
from tests.helpers.image_builder import builder, requirements

IMAGES = ("service", "worker", "triton")


@pytest.fixture(params=IMAGES)
def lines(request: pytest.FixtureRequest, repo_root: Path) -> list[str]:
    """Instructions of a Dockerfile, each on one line."""
    text = (repo_root / f"docker/Dockerfile.{request.param}").read_text(encoding="utf-8")
    joined = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip()]


def _pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.\-]+)==([^\s\\]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def test_base_is_pinned_and_stages_are_two(lines: list[str]) -> None:
    assert [line.split()[0] for line in lines].count("FROM") == 2
    bases = [line.partition("=")[2] for line in lines if re.match(r"ARG \w+_IMAGE=", line)]
    assert bases == ["python:3.11.14-slim-bookworm"]


def test_last_stage_runs_as_a_user_without_rights(lines: list[str]) -> None:
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER 10001:10001"]
    last = max(index for index, line in enumerate(lines) if line.startswith("FROM "))
    assert lines.index(users[0]) > last
    copied = [line for line in lines[last:] if line.startswith("COPY ")]
    assert copied and all("--from=build" in line for line in copied)


def test_health_signal_and_labels_are_there(lines: list[str]) -> None:
    assert "STOPSIGNAL SIGTERM" in lines
    health = next(line for line in lines if line.startswith("HEALTHCHECK "))
    assert "eureka.runtime.healthcheck" in health
    start = json.loads(next(line for line in reversed(lines) if line.startswith("CMD "))[4:])
    assert start[0] == "python" or start[2].startswith("exec ")  # signals reach the process
    labels = next(line for line in lines if line.startswith("LABEL "))
    for name in ("title", "version", "revision", "created", "licenses"):
        assert f"org.opencontainers.image.{name}=" in labels


def test_environment_names_settings(lines: list[str]) -> None:
    named = {
        word.partition("=")[0]
        for line in lines
        if line.startswith("ENV ")
        for word in shlex.split(line[4:])
        if word.startswith("EUREKA_")
    }
    assert named and named <= set(known_names(Settings))


def test_exposed_ports_are_those_of_the_settings(repo_root: Path) -> None:
    names = ("gateway", "encoder", "adapter", "decoder", "triton")
    sections: dict[str, Any] = {name: Settings.model_fields[name].annotation for name in names}
    fields = {name: section.model_fields for name, section in sections.items()}
    expected = {str(fields[name]["port"].default) for name in ("gateway", "encoder", "adapter", "decoder")}
    text = (repo_root / "docker/Dockerfile.service").read_text(encoding="utf-8")
    assert set(re.findall(r"^EXPOSE (.*)$", text, re.MULTILINE)[0].split()) == {*expected, "9100"}
    triton = (repo_root / "docker/Dockerfile.triton").read_text(encoding="utf-8")
    ports = {str(fields["triton"][f"{name}_port"].default) for name in ("http", "grpc", "metrics")}
    assert set(re.findall(r"^EXPOSE (.*)$", triton, re.MULTILINE)[0].split()) == ports


def test_build_context_holds_what_is_copied(repo_root: Path) -> None:
    allowed = {
        line[1:]
        for line in (repo_root / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    for name in IMAGES:
        text = (repo_root / f"docker/Dockerfile.{name}").read_text(encoding="utf-8")
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
            assert set(sources.split()) <= allowed, name


@pytest.mark.parametrize("name", sorted(requirements.IMAGES))
def test_installed_versions_are_those_of_the_constraints(repo_root: Path, name: str) -> None:
    path = repo_root / f"docker/requirements-{name}.txt"
    pins = _pins(path)
    constraints = _pins(repo_root / "constraints.txt")
    unknown = {package for package in pins if package not in constraints}
    # What CUDA's torch brings is its own affair, on the GPU image alone.
    assert not unknown or name == "triton-gpu", unknown
    assert {p: v for p, v in pins.items() if p in constraints} == {
        p: constraints[p] for p in pins if p in constraints
    }
    blocks = re.split(r"^(?=[\w.\-]+==)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins) and all("--hash=sha256:" in block for block in blocks)


@pytest.mark.parametrize("name", ["service", "worker"])
def test_images_install_what_their_extras_need(repo_root: Path, name: str) -> None:
    project = tomllib.loads((repo_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = _pins(repo_root / f"docker/requirements-{name}.txt")
    wanted = set(_needed(project, requirements.IMAGES[name].extras))
    assert wanted <= set(pins)
    assert "torch" not in pins and ("kubernetes" in pins) == (name == "service")


def _needed(project: dict[str, Any], extras: tuple[str, ...]) -> list[str]:
    """Direct requirements of the base and some extras, and of the extras that those name."""
    found, optional = list(project["dependencies"]), project["optional-dependencies"]
    for extra in extras:
        found += optional[extra]
    parsed = [Requirement(line) for line in found]
    own = tuple(extra for one in parsed if one.name == "eureka" for extra in one.extras)
    names = [canonicalize_name(one.name) for one in parsed if one.name != "eureka"]
    return names + (_needed(project, own) if own else [])


@pytest.mark.parametrize("name", ["service", "worker", "triton-cpu", "triton-gpu"])
def test_every_image_can_send_traces(repo_root: Path, name: str) -> None:
    assert "opentelemetry-exporter-otlp-proto-grpc" in _pins(repo_root / f"docker/requirements-{name}.txt")


def test_chart_names_the_tags_that_are_built(repo_root: Path) -> None:
    gpu = yaml.safe_load((repo_root / "helm/eureka/values-gpu.yaml").read_text(encoding="utf-8"))
    assert gpu["images"]["triton"]["tag"] == builder.tag_of("triton", gpu=True).rpartition(":")[2]
    chart = yaml.safe_load((repo_root / "helm/eureka/Chart.yaml").read_text(encoding="utf-8"))
    assert str(chart["appVersion"]) == builder.package_version()
    values = yaml.safe_load((repo_root / "helm/eureka/values.yaml").read_text(encoding="utf-8"))
    for name in IMAGES:
        assert values["images"][name]["repository"] == builder.tag_of(name).rpartition(":")[0]
