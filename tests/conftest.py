"""Fixtures for all tests: where the repository, the data pack and the shipped checkpoint are.

Nothing here reaches the network. What is missing is a named skip on a developer's machine and a
failure where CI demands it (CI=true), except for the shipped checkpoint and the speech engines,
which some machines rightly lack.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPO_ROOT = Path(__file__).resolve().parent.parent

# Triton's own functions are compiled or interpreted for good when any library first imports them.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """Root of the checkout."""
    return REPO_ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The pack of real recordings: EUREKA_DATA_FOLDER, relative to the checkout."""
    folder = REPO_ROOT / os.environ.get("EUREKA_DATA_FOLDER", "../shared/data")
    if not (folder / "manifest.jsonl").is_file():
        _missing(f"no data pack at {folder}; set EUREKA_DATA_FOLDER")
    return folder.resolve()


@pytest.fixture(scope="session")
def checkpoint_folder() -> Path:
    """The checkpoint that ships with the repository."""
    folder = REPO_ROOT / "checkpoints" / "eureka-nano"
    if not (folder / "config.json").is_file():
        pytest.skip(f"no checkpoint at {folder}")
    return folder


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: a skip is a failure)")
    pytest.skip(reason)
