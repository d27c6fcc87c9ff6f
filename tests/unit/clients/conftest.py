from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.small_gateway import SmallGateway, serving, small_gateway
from tests.helpers.sounds import noise, write_wav
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("audio") / "clip.wav", noise(1.5))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SmallGateway, str]]:
    checkpoint = write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))
    with small_gateway(checkpoint) as gateway, serving(gateway) as targets:
        yield gateway, targets["plain"]


@pytest.fixture
def gateway(served: tuple[SmallGateway, str]) -> SmallGateway:
    """The gateway as at its start."""
    gateway, _ = served
    gateway.max_inline_bytes, gateway.max_window_seconds = 1 << 20, 300.0
    gateway.holds_after_delta, gateway.num_cancelled = False, 0
    for kept in (gateway.faults, gateway.faults_after_delta, gateway.seen, gateway.uploads):
        kept.clear()
    return gateway


@pytest.fixture
def target(served: tuple[SmallGateway, str]) -> str:
    return served[1]
