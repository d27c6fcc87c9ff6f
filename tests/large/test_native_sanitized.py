"""The native kernels' own tests, with the extension compiled to notice what C++ leaves undefined."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.large

FLAGS = ("-std=c++17", "-O1", "-g", "-Wno-psabi", "-fPIC", "-shared", "-fno-omit-frame-pointer")
SANITIZERS = "address,undefined"

RUN = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("eureka.engine.native._kernels", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.modules["eureka.engine.native._kernels"] = module
import pytest
sys.exit(pytest.main(["-q", "-n0", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


def test_kernels_are_clean_under_the_sanitizers(repo_root: Path, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler (Debian package g++)")
    import pybind11

    sources = sorted((repo_root / "src/eureka/engine/native/csrc").glob("*.cpp"))
    built = tmp_path / f"_kernels{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = [f"-I{pybind11.get_include()}", f"-I{sysconfig.get_paths()['include']}"]
    stop_at_first = "-fno-sanitize-recover=all"
    command = ["g++", *FLAGS, f"-fsanitize={SANITIZERS}", stop_at_first, *includes, *map(str, sources)]
    subprocess.run([*command, "-o", str(built)], check=True, timeout=600)
    libraries = [_library(name) for name in ("libasan.so", "libubsan.so", "libstdc++.so")]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter keeps what it has until it ends
        "OMP_NUM_THREADS": "1",
    }
    tests = ["tests/unit/engine/native", "tests/unit/engine/test_many_steps.py"]
    run = subprocess.run(
        [sys.executable, "-c", RUN, str(built), *tests],
        cwd=repo_root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert " passed" in run.stdout


def _library(name: str) -> str:
    found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()
