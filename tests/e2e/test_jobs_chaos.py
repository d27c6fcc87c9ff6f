"""Long jobs over a real S3 server while whatever they need dies, again and again.

Every day three kinds of faults over five minutes of audio; in make chaos all eight kinds, twenty times, over
an hour. What chance chooses depends on a seed, which is printed; TEST_SEED sets another one.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import JobLane, JobOptions, JobState, StoredObject
from eureka.storage.keys import JobKeys
from tests.helpers.job_faults import FaultyStack, faulty_stack
from tests.helpers.job_progress import ProgressWatch
from tests.helpers.job_stack import said
from tests.helpers.long_recording import long_recording
from tests.helpers.radosgw import PROGRAMS
from tests.helpers.redis_server import redis_program
from tests.helpers.sounds import wav_of
from tests.helpers.stack_user import StackUser
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

TENANT = "default"
RECORDING = "recordings/long.wav"

NUM_RUNNING = 2
"""Jobs at a time; while faults are to come, another one is made for each that ends."""

EACH_KIND = 2
NUM_FAULTS = 20

PAUSE_SECONDS = (3.0, 10.0)
"""From one fault that has healed to the next."""

MAX_STUCK_SECONDS = 60.0
JOB_SECONDS = 600.0


@pytest.fixture
def seed() -> int:
    """What chance depends on."""
    return int(os.environ.get("TEST_SEED", "7"))


def chosen(kinds: Sequence[str], rng: random.Random) -> list[str]:
    """Twenty faults in a random order, each kind twice at least."""
    faults = list(kinds) * EACH_KIND
    faults += rng.choices(list(kinds), k=NUM_FAULTS - len(faults))
    rng.shuffle(faults)
    return faults


@pytest.fixture(autouse=True)
def programs() -> None:
    redis_program()
    if any(shutil.which(program) is None for program in PROGRAMS):
        if os.environ.get("CI") == "true":
            pytest.fail("no S3 server (CI=true: a skip is a failure)")
        pytest.skip("no S3 server: install radosgw, ceph-mon and ceph-osd (Debian)")


class Chaos:
    """Jobs over one recording on one stack.

    Args:
        stack: see there.
        client: of its gateway.
        watch: looks at the jobs.
    """

    def __init__(self, stack: FaultyStack, client: GatewayClient, watch: ProgressWatch) -> None:
        self._stack, self._client, self._watch = stack, client, watch
        self.keys: list[JobKeys] = []

    def create(self) -> JobKeys:
        job = self._client.create_job(StoredObject(RECORDING), JobOptions(lane=JobLane.BULK))
        self.keys.append(JobKeys(TENANT, job.name.removeprefix("jobs/")))
        self._watch.add(self.keys[-1])
        return self.keys[-1]

    def undisturbed(self) -> dict[str, bytes]:
        """What a job says that nothing happens to."""
        began = time.monotonic()
        keys = self.create()
        result = self._stack.jobs.result(keys, JOB_SECONDS)
        assert result["state"] == "SUCCEEDED", result["reasons"]
        print(f"undisturbed: {len(result['coverage'])} spans in {time.monotonic() - began:.0f} s", flush=True)
        return said(self._stack.jobs.jobs, keys)

    def disturb(self, faults: Sequence[str], rng: random.Random, pause: tuple[float, float]) -> None:
        """Let the faults happen while jobs run; a caller watches the first of these, whatever happens."""
        with ThreadPoolExecutor(1) as caller:
            watched = caller.submit(self._last_state, self.create())
            for name in faults:
                while len(self._watch.running()) < NUM_RUNNING:
                    self.create()
                time.sleep(rng.uniform(*pause))
                self._stack.happen(name)
            assert watched.result(JOB_SECONDS) is JobState.SUCCEEDED

    def _last_state(self, keys: JobKeys) -> JobState:
        *_, last = self._client.watch_job(f"jobs/{keys.job_id}", timeout_seconds=JOB_SECONDS)
        return last.job.state

    def check(self, expected: dict[str, bytes]) -> None:
        """All jobs end by themselves, say the same, and wrote everything once."""
        for keys in self.keys:
            self._stack.jobs.result(keys, JOB_SECONDS)
            assert self._client.get_job(f"jobs/{keys.job_id}").state is JobState.SUCCEEDED
            assert said(self._stack.jobs.jobs, keys) == expected
        stuck = self._watch.longest_stuck(self._stack.faults)
        print(f"{len(self.keys)} jobs; longest without progress and without a fault: {stuck:.1f} s")
        assert stuck < MAX_STUCK_SECONDS
        self._check_puts()

    def _check_puts(self) -> None:
        puts = self._stack.puts()
        for keys in self.keys:
            plan = self._stack.jobs.jobs.plan(keys, 1)
            assert plan is not None
            windows = {keys.window(1, window.index) for window in plan.sounding}
            written = {key: n for key, n in puts.items() if key.startswith(keys.round_folder(1))}
            assert windows <= set(written)
            assert set(written.values()) == {1}, {key: n for key, n in written.items() if n != 1}


def run_chaos(
    stack: FaultyStack, seconds: float, faults: Sequence[str], rng: random.Random, pause: tuple[float, float]
) -> None:
    """Jobs over so many seconds of audio, one undisturbed and others with these faults."""
    store = stack.jobs.jobs
    store.objects.put(f"{TENANT}/{RECORDING}", wav_of(long_recording(seconds, seed=9).pcm))
    with ProgressWatch(store) as watch, GatewayClient(stack.jobs.gateway) as client:
        chaos = Chaos(stack, client, watch)
        expected = chaos.undisturbed()
        chaos.disturb(faults, rng, pause)
        chaos.check(expected)


@pytest.mark.timeout(300)
def test_jobs_end_as_if_model_network_and_store_had_stayed(
    user: StackUser, tmp_path: Path, seed: int
) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    with faulty_stack(user, tmp_path / "s3", checkpoint, seed, down_seconds=4.0) as stack:
        run_chaos(stack, 300.0, ("network", "store", "model"), random.Random(seed), (0.5, 1.5))


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_jobs_over_an_hour_end_as_if_nothing_had_died(user: StackUser, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    with faulty_stack(user, tmp_path / "s3", checkpoint, seed, down_seconds=10.0) as stack:
        faults = chosen(list(stack.kinds()), rng)
        print(f"seed {seed}: {', '.join(faults)}")
        run_chaos(stack, 3_600.0, faults, rng, PAUSE_SECONDS)
