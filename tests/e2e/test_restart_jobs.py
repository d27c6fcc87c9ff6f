"""`eureka restart` of what jobs need, in the middle of one: it ends as if it had not been disturbed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.helpers.job_stack import JobStack
from tests.helpers.long_recording import long_recording
from tests.helpers.sounds import wav_of
from tests.helpers.stack_user import StackUser
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AUDIO_SECONDS = 300.0


@pytest.fixture(scope="module")
def stack(user: StackUser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobStack]:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no redis-server (CI=true: a skip is a failure)")
        pytest.skip("no redis-server; apt-get install redis-server")
    user.environment |= {
        "EUREKA_CHECKPOINT": str(write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))),
        "EUREKA_BATCH_INVARIANT": "true",
        "EUREKA_WORKER__SWEEP_SECONDS": "0.5",
        "EUREKA_WORKER__CLAIM_SECONDS": "2",
    }
    user.run("up", "--detach")
    yield JobStack(user)


@pytest.fixture(scope="module")
def audio() -> bytes:
    return wav_of(long_recording(AUDIO_SECONDS, seed=3).pcm)


@pytest.fixture(scope="module")
def undisturbed(stack: JobStack, audio: bytes) -> object:
    return _said(stack.result(stack.create(audio)))


def _said(result: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in result.items() if name not in ("name", "usage", "attempts")}


@pytest.mark.parametrize("name", ["worker", "redis", "triton", "decoder"])
def test_job_goes_on_over_a_restart(stack: JobStack, audio: bytes, undisturbed: object, name: str) -> None:
    old = stack.components()[name]["pid"]
    keys = stack.create(audio)
    stack.until_ended(keys, 2)
    stack.user.run("restart", name)
    assert stack.components()[name]["pid"] not in (None, old)
    assert stack.components()[name]["state"] == "ready"
    assert _said(stack.result(keys, 120)) == undisturbed
    log = (stack.user.logs / "supervisor.log").read_text()
    assert f"component_ended component={name} " not in log, "the supervisor took it for a death"
