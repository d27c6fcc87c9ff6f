"""Long jobs while workers and Redis die again and again, and Redis forgets (make chaos)."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from tests.helpers.job_stack import JobStack, check_same
from tests.helpers.long_recording import long_recording
from tests.helpers.redis_server import redis_program
from tests.helpers.sounds import wav_of
from tests.helpers.stack_user import StackUser, until
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

pytestmark = pytest.mark.slow

NUM_JOBS, AUDIO_SECONDS = 6, 1_500.0
"""Some minutes of work, so that a dozen kills come in the middle."""

PAUSE_SECONDS = (4.0, 12.0)
"""Between two faults; a part that dies is back after some seconds, later each time."""

FAULTS = (
    *("worker", "flush", "redis", "worker-2", "flush"),
    *("decoder", "worker", "redis", "worker-2", "encoder"),
)


@pytest.fixture(scope="module")
def stack(user: StackUser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobStack]:
    assert redis_program()
    checkpoint = write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))
    user.environment |= {
        "EUREKA_CHECKPOINT": str(checkpoint),
        "EUREKA_BATCH_INVARIANT": "true",
        "EUREKA_STACK__WORKERS": "2",
        "EUREKA_WORKER__CLAIM_SECONDS": "5",
    }
    user.run("up", "--detach")
    yield JobStack(user)


def _fault(stack: JobStack, name: str) -> str:
    if name == "flush":
        try:
            stack.redis().flushall()
        except RedisError:
            return "flush of a Redis that is away"
        return name
    pid = stack.components()[name]["pid"]
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    return name


def test_every_job_ends_as_if_nothing_had_died(stack: JobStack, tmp_path: Path) -> None:
    rng, faults = random.Random(7), list[str]()
    audio = wav_of(long_recording(AUDIO_SECONDS, seed=9).pcm)
    jobs = [stack.create(audio) for _ in range(NUM_JOBS)]
    deadline = time.monotonic() + 1_200
    while not all(stack.jobs.result(keys, 1) for keys in jobs):
        assert time.monotonic() < deadline, [stack.num_ended(keys) for keys in jobs]
        time.sleep(rng.uniform(*PAUSE_SECONDS))
        faults.append(_fault(stack, FAULTS[len(faults) % len(FAULTS)]))
    print(f"{len(faults)} faults: {', '.join(faults)}")
    assert len(faults) >= 5
    for keys in jobs:
        assert stack.result(keys)["state"] == "SUCCEEDED"
    until(lambda: bool(stack.user.status()["ready"]), 90)
    here = stack.heard_here(jobs[0], tmp_path / "here")
    check_same(stack.jobs, here, jobs[0])
