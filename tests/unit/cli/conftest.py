import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.sounds import noise, write_wav
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("audio") / "clip.wav", noise(1.5))


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("audio") / "long.wav", noise(19.0))


@pytest.fixture(autouse=True)
def no_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stack that runs in the checkout is none of the tests' business."""
    monkeypatch.setenv("EUREKA_STACK__FOLDER", str(tmp_path / "no-stack"))
    monkeypatch.delenv("EUREKA_TARGET", raising=False)


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Commands set up the package's logger for a whole process; tests share one."""
    logger = logging.getLogger("eureka")
    handlers, level, propagates = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = handlers, propagates
    logger.setLevel(level)
