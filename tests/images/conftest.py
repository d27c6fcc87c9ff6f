"""Fixtures of the tests that build images and run them: an engine, its base, our images, a stack of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.helpers.image_builder import builder
from tests.images.compose_user import ComposeUser, compose_program
from tests.images.engine import Engine, NoEngineError, container_engine, ensure_base

SERVERS = "eureka-test-servers:0.1.0"
BUILD_SECONDS = 600.0


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: a skip is a failure)")
    pytest.skip(reason)


def _say(request: pytest.FixtureRequest, line: str) -> None:
    """Print past the capture: sizes and times are what one runs this for."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(line, flush=True)


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine that has the base of our images."""
    started = time.monotonic()
    try:
        with container_engine() as found:
            origin = ensure_base(found)
            _say(request, f"\nbase {origin}; {time.monotonic() - started:.0f} s")
            yield found
    except NoEngineError as error:
        _missing(str(error))


@pytest.fixture(scope="session")
def images(request: pytest.FixtureRequest, engine: Engine) -> dict[str, int]:
    """Our images, built; bytes of each by name."""
    sizes: dict[str, int] = {}
    with patch.dict(os.environ, engine.environment):
        for image in builder.build(engine.program, builder.NAMES):
            sizes[image.tag] = image.size_bytes
            _say(request, f"{image.tag:24} {image.size_bytes / 1e6:5.0f} MB, built in {image.seconds:.0f} s")
    return sizes


@pytest.fixture(scope="session")
def servers(engine: Engine, repo_root: Path) -> str:
    """The image of Redis and the S3 server."""
    file = str(repo_root / "tests/images/Dockerfile.servers")
    command = ["build", "--network=host", "--file", file, "--tag", SERVERS, str(repo_root / "tests")]
    engine.run(*command, timeout=BUILD_SECONDS)
    return SERVERS


@pytest.fixture(scope="session")
def stack(
    request: pytest.FixtureRequest,
    engine: Engine,
    images: dict[str, int],
    servers: str,
    repo_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ComposeUser]:
    """The platform in containers, every one of them healthy; all is removed at the end."""
    compose = compose_program()
    if compose is None:
        pytest.skip("no docker-compose (Debian: docker-compose)")
    user = ComposeUser(engine, compose, repo_root, tmp_path_factory.mktemp("compose"))
    try:
        seconds = user.up()
        times = ", ".join(f"{name} {value:.0f} s" for name, value in user.seconds_to_healthy.items())
        _say(request, f"\nall healthy after {seconds:.0f} s: {times}")
        yield user
    finally:
        user.down()
