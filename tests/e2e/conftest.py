"""Fixtures of the tests that run the local stack."""

from __future__ import annotations

import os
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from eureka.errors import StageUnavailableError
from eureka.runtime.triton_wheel import find_triton_wheel
from eureka.types import SAMPLE_RATE_HZ
from tests.helpers.stack_user import StackUser


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory, checkpoint_folder: Path) -> Iterator[StackUser]:
    """A user without a stack; what runs at the end is stopped."""
    try:
        find_triton_wheel()
    except StageUnavailableError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error.message} (CI=true: a skip is a failure)")
        pytest.skip(error.message)
    user = StackUser(tmp_path_factory.mktemp("stack") / ".eureka", checkpoint_folder)
    yield user
    user.run("down")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two seconds."""
    path = tmp_path_factory.mktemp("audio") / "noise.wav"
    samples = np.random.default_rng(1).uniform(-0.1, 0.1, 2 * SAMPLE_RATE_HZ)
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes((samples * 32767).astype("<i2").tobytes())
    return path
