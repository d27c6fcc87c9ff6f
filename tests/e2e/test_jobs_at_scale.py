"""Hours of audio in constant memory, and hundreds of jobs at once (make chaos)."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import JobState
from tests.helpers.job_stack import JobStack
from tests.helpers.long_audio import write_minutes
from tests.helpers.long_recording import long_recording
from tests.helpers.peak_memory import PeakWatch
from tests.helpers.redis_server import redis_program
from tests.helpers.sounds import write_wav
from tests.helpers.stack_user import StackUser
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

SHORT_MINUTES, LONG_MINUTES = 10, 180

MAX_GROWTH_BYTES = 50 << 20
"""What hours may take beyond minutes, in any process: text and plan, and what a heap happens to hold."""

NUM_CLIENTS, JOBS_A_CLIENT, CLIP_SECONDS = 8, 25, 30.0
JOB_SECONDS = 1_500.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]


@pytest.fixture(scope="module")
def stack(user: StackUser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobStack]:
    redis_program()
    checkpoint = write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))
    user.environment |= {"EUREKA_CHECKPOINT": str(checkpoint), "EUREKA_STACK__WORKERS": "2"}
    user.run("up", "--detach")
    yield JobStack(user)


def run_job(client: GatewayClient, audio: Path, folder: Path) -> JobState:
    """A job from its upload to its download, watched meanwhile; its state."""
    job = client.create_job(audio, timeout_seconds=JOB_SECONDS)
    *_, last = client.watch_job(job.name, timeout_seconds=JOB_SECONDS)
    client.download_result(job.name, folder / "result.json", timeout_seconds=JOB_SECONDS)
    return last.job.state


def peaks(stack: JobStack, minutes: int, folder: Path) -> Counter[str]:
    """Peak memory of gateway, workers and their decoding children over a job of so many minutes."""
    audio = write_minutes(folder / f"{minutes}.wav", minutes, has_pauses=True)
    names = [name for name in stack.components() if name == "gateway" or name.startswith("worker")]
    with (
        GatewayClient(stack.gateway) as client,
        PeakWatch(lambda: {name: stack.components()[name]["pid"] for name in names}) as watch,
    ):
        began = time.monotonic()
        assert run_job(client, audio, folder) is JobState.SUCCEEDED
        print(f"{minutes} minutes of audio took {time.monotonic() - began:.0f} s")
    audio.unlink()
    return watch.peaks


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read the Linux way")
def test_three_hours_take_hardly_more_memory_than_ten_minutes(stack: JobStack, tmp_path: Path) -> None:
    peaks(stack, 2, tmp_path)  # imports, caches, the heap
    short, long = peaks(stack, SHORT_MINUTES, tmp_path), peaks(stack, LONG_MINUTES, tmp_path)
    for name in sorted(long):
        grown = (long[name] - short[name]) / 2**20
        print(f"{name:22} {short[name] / 2**20:7.1f} MiB, {long[name] / 2**20:7.1f} MiB ({grown:+.1f})")
    assert set(long) >= {"gateway", "worker"} and any(name.endswith("decoder") for name in long)
    grown_bytes = {name: long[name] - short[name] for name in long}
    assert {name: grown for name, grown in grown_bytes.items() if grown > MAX_GROWTH_BYTES} == {}


def submit(gateway: str, audio: Path) -> list[JobState]:
    """One client's jobs, made as fast as it can, then waited for."""
    with GatewayClient(gateway, timeout_seconds=120) as client:
        names = [client.create_job(audio).name for _ in range(JOBS_A_CLIENT)]
        return [[*client.watch_job(name, timeout_seconds=JOB_SECONDS)][-1].job.state for name in names]


def test_two_hundred_jobs_of_eight_clients_all_end(stack: JobStack, tmp_path: Path) -> None:
    audio = write_wav(tmp_path / "clip.wav", long_recording(CLIP_SECONDS, seed=4).pcm)
    began = time.monotonic()
    with ThreadPoolExecutor(NUM_CLIENTS) as clients:
        states = Counter(
            state
            for found in clients.map(lambda _: submit(stack.gateway, audio), range(NUM_CLIENTS))
            for state in found
        )
    print(f"{states.total()} jobs of {CLIP_SECONDS:.0f} s ended in {time.monotonic() - began:.0f} s")
    assert states == {JobState.SUCCEEDED: NUM_CLIENTS * JOBS_A_CLIENT}
