"""Debian's speech engines in tests: there, or a named skip."""

from __future__ import annotations

import shutil

import pytest

from eureka.errors import NotFoundError
from eureka.training.espeak import Espeak


def espeak_or_skip() -> Espeak:
    """The engine of this process; the test is skipped where it is not installed."""
    try:
        return Espeak()
    except NotFoundError as exc:
        pytest.skip(exc.message)


def skip_without_flite() -> None:
    """Skip where the command is not installed."""
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed")
