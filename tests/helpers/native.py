"""Whether the native kernels are built here, and for which instruction sets this machine runs them."""

from __future__ import annotations

import os

import pytest

from eureka.engine.native.extension import load_extension
from eureka.errors import NotFoundError


def runnable_kernels() -> list[str]:
    """Names of the kernels that run here; none where the extension is missing and need not be there."""
    try:
        return list(load_extension().runnable_kernels())
    except NotFoundError:
        if os.environ.get("CI") == "true":
            raise
        return []


needs_kernels = pytest.mark.skipif(
    not runnable_kernels(), reason="the native kernels are not built (no C++ compiler at installation)"
)
