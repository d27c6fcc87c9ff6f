"""What may import what: the floors of pyproject.toml, and packages that must stand without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_TORCH = ["audio", "text", "pipeline", "storage", "jobs"]
HEAVY = ["torch", "torchaudio", "transformers"]

IMPORT_ALL = """
import importlib, pkgutil, sys
for name in {heavy!r}:
    sys.modules[name] = None  # any import of it fails
package = importlib.import_module("eureka.{package}")
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
"""


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110)


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_package_imports_without_torch(package: str) -> None:
    done = _python(IMPORT_ALL.format(heavy=HEAVY, package=package))
    assert done.returncode == 0, done.stderr


def test_command_line_starts_without_torch() -> None:
    done = _python(
        "import sys, eureka.cli.main, eureka.runtime.settings\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded"
    )
    assert done.returncode == 0, done.stderr


def test_import_floors_hold(repo_root: Path) -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
