"""The native kernels on processors that are not this one, and where they are missing or broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eureka.engine.native import extension
from tests.helpers.native import needs_kernels

QEMU = "qemu-x86_64"

ANSWER = """
import logging, sys
from pathlib import Path
import numpy as np
from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.backend import Prefill
from eureka.engine.choice import BackendChoice, open_backend
from eureka.engine.native.extension import load_extension
from eureka.errors import NotFoundError
from eureka.model.load_plan import plan_load

logging.basicConfig(format="%(message)s: %(reason)s")
plan, choice = plan_load(Path(sys.argv[1])), BackendChoice(numerics=sys.argv[2])
try:
    print(*load_extension().runnable_kernels())
except NotFoundError:
    print("none")
backend = open_backend(plan, choice, 2, 128)
prompt = Prefill(0, np.arange(20), np.zeros(0, int), np.zeros((0, backend.embedding_width), np.float32))
print(type(backend).__name__, int(backend.prefill([prompt]).argmax()))
print(AudioEmbedder.open(plan, choice).embed([np.zeros(1600, np.float32)]).shape)
"""


@pytest.fixture(scope="module")
def nano(repo_root: Path) -> Path:
    return repo_root / "checkpoints" / "eureka-nano"


def answer(
    nano: Path, numerics: str, *before: str, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **({"PYTHONPATH": str(path)} if path else {})}
    return subprocess.run(
        [*before, sys.executable, "-W", "ignore", "-c", ANSWER, str(nano), numerics],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@needs_kernels
@pytest.mark.parametrize(("processor", "kernels"), [("Nehalem", "portable"), ("Haswell", "avx2 portable")])
def test_older_processor_answers_as_this_one(nano: Path, processor: str, kernels: str) -> None:
    """Nehalem has no AVX at all, Haswell AVX2 but none of AVX-512; an illegal instruction would kill it."""
    if shutil.which(QEMU) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{QEMU} is not there, and CI=true demands it")
        pytest.skip(f"{QEMU} (Debian package qemu-user) is not installed")
    here, there = answer(nano, "exact"), answer(nano, "exact", QEMU, "-cpu", processor)
    assert there.returncode == 0, there.stderr
    assert there.stdout.splitlines()[0] == kernels
    assert there.stdout.splitlines()[1:] == here.stdout.splitlines()[1:]


@pytest.mark.parametrize("state", ["absent", "broken"])
def test_service_starts_on_onnx_without_kernels(nano: Path, tmp_path: Path, state: str) -> None:
    package = Path(extension.__file__).parents[2]
    shutil.copytree(package, tmp_path / "eureka", ignore=shutil.ignore_patterns("_kernels*", "__pycache__"))
    if state == "broken":
        broken = tmp_path / "eureka" / "engine" / "native" / "_kernels.abi3.so"
        broken.write_bytes(b"made for something else")
    run = answer(nano, "exact", path=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[:2] == ["none", run.stdout.splitlines()[1]]
    assert run.stdout.splitlines()[1].startswith("OnnxBackend")
    assert len([line for line in run.stderr.splitlines() if "native_left_out" in line]) == 1, run.stderr
