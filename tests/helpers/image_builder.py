"""docker/build.py and docker/requirements.py as modules; their folder is no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parents[2] / "docker"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"eureka_images_{name}", FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


builder = _load("build")
requirements = _load("requirements")
