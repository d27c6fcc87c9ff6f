"""The package metadata says what the code needs, and the pins fit it."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture(scope="module")
def project(repo_root: Path) -> dict[str, Any]:
    return tomllib.loads((repo_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def pins(repo_root: Path) -> dict[str, str]:
    lines = (repo_root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def _requirements(project: dict[str, Any]) -> list[Requirement]:
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(line) for group in groups for line in group]
    return [requirement for requirement in found if requirement.name != "eureka"]


def _imported_packages(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((alias.name.split(".")[0], path) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.split(".")[0], path


def test_every_requirement_has_a_pin_inside_its_range(project: dict[str, Any], pins: dict[str, str]) -> None:
    for requirement in _requirements(project):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} has no pin in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{name}=={pins[name]} is outside {requirement}"


def test_pins_keep_the_serving_parts_possible(pins: dict[str, str]) -> None:
    assert pins["numpy"] == "1.26.4"
    assert pins["torch"] == "2.13.0"
    assert int(pins["protobuf"].split(".")[0]) < 7


def test_every_import_of_the_package_is_declared(project: dict[str, Any], repo_root: Path) -> None:
    declared = {canonicalize_name(r.name) for r in _requirements(project)}
    declared |= {"pydantic"}  # comes with pydantic-settings, whose interface it is
    owners = packages_distributions()
    for module, path in _imported_packages(repo_root / "src"):
        if module in sys.stdlib_module_names or module == "eureka":
            continue
        distributions = {canonicalize_name(name) for name in owners.get(module, [])}
        assert distributions & declared, f"{path} imports {module}, which no extra of pyproject.toml brings"


def test_base_install_is_light(project: dict[str, Any]) -> None:
    names = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    assert names == {"googleapis-common-protos", "grpcio", "numpy", "protobuf", "pydantic-settings"}
