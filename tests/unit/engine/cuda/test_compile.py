"""Kernels become machine code for GPUs that are not here, in the shapes of the 1.7B model.

That tells what an interpreter does not: types that do not fit, tiles that no tensor core takes, shared memory
that is not there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="the package triton is not installed")

CAPABILITY = 90
"""Of H100 and H200."""

LARGEST_SHARED_BYTES = 232_448
"""Shared memory that a block can have there."""


def test_kernels_become_machine_code(repo_root: Path, tmp_path: Path) -> None:
    script = repo_root / "tests" / "helpers" / "compile_kernels.py"
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    run = subprocess.run(
        [sys.executable, str(script), str(CAPABILITY)], capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout)
    assert {kernel["name"] for kernel in found} == {
        "linear_kernel",
        "gated_kernel",
        "heads_kernel",
        "attention_kernel",
        "join_kernel",
    }
    for kernel in found:
        assert kernel["code_bytes"] > 0
        assert kernel["shared_bytes"] <= LARGEST_SHARED_BYTES, kernel
        is_product = kernel["name"] in ("linear_kernel", "gated_kernel", "attention_kernel")
        assert kernel["has_tensor_cores"] == is_product, kernel
