"""Jobs on the local stack that do not simply succeed: bad audio, audio that vanishes, cancelled, retried."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import Job, JobLane, JobOptions, JobState, StoredObject
from eureka.storage.keys import JobKeys
from tests.helpers.gateway_stack import metrics_at
from tests.helpers.heard_whole import TOKEN_SECONDS, encoder_seconds
from tests.helpers.job_stack import JobStack
from tests.helpers.long_recording import long_recording
from tests.helpers.opus_silence import opus_silence
from tests.helpers.sounds import noise, wav_of
from tests.helpers.stack_user import StackUser
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

LONG_SECONDS = 400.0
"""More than a worker hears within the seconds that these tests wait."""

CANCEL_SECONDS = 2.0
"""From the answer to CancelJob until the engine has no slot taken, and no window ends any more."""

GOOD = wav_of(noise(20.0))

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def stack(user: StackUser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobStack]:
    """One worker that does one thing at a time, so that its next step is known."""
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no redis-server (CI=true: a skip is a failure)")
        pytest.skip("no redis-server; apt-get install redis-server")
    user.environment |= {
        "EUREKA_CHECKPOINT": str(write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))),
        "EUREKA_WORKER__CONCURRENCY": "1",
        "EUREKA_WORKER__SWEEP_SECONDS": "0.5",
    }
    user.run("up", "--detach")
    yield JobStack(user)


@pytest.fixture
def client(stack: JobStack) -> Iterator[GatewayClient]:
    with GatewayClient(stack.components()["gateway"]["address"], timeout_seconds=60) as client:
        yield client


def keys_of(job: Job) -> JobKeys:
    return JobKeys("default", job.name.removeprefix("jobs/"))


def ended(client: GatewayClient, job: Job) -> Job:
    """The job at its end."""
    [*_, last] = client.watch_job(job.name, timeout_seconds=120)
    return last.job


def put(stack: JobStack, key: str, content: bytes) -> StoredObject:
    stack.jobs.objects.put(f"default/{key}", content)
    return StoredObject(key)


BAD = {
    "text": (b"This is a text file.\n" * 100, "FAILED", "NOT_AUDIO"),
    "noise": (np.random.default_rng(0).bytes(50_000), "FAILED", "NOT_AUDIO"),
    "empty": (b"", "FAILED", "EMPTY_AUDIO"),
    "header": (GOOD[:44], "FAILED", "EMPTY_AUDIO"),
    "cut": (GOOD[: len(GOOD) // 2], "PARTIAL", "DAMAGED_AUDIO"),
    "twenty-hours": (opus_silence(20 * 3_600), "FAILED", "AUDIO_TOO_LONG"),
}
"""Name -> bytes, state, reason. The gateway refuses the empty one; here it became empty since."""


def test_bad_audio_ends_its_job_with_a_reason_and_the_worker_lives(
    stack: JobStack, client: GatewayClient
) -> None:
    pid = stack.components()["worker"]["pid"]
    jobs = {name: stack.create(content) for name, (content, _, _) in BAD.items()}
    for name, (_, state, reason) in BAD.items():
        result = stack.result(jobs[name])
        assert result["state"] == state, name
        assert any(reason in said for said in result["reasons"]), (name, result["reasons"])
        found = client.get_job(f"jobs/{jobs[name].job_id}")
        assert found.state == state, name
        assert (found.error.reason if found.error else None) == (reason if state == "FAILED" else None)
    after = ended(client, client.create_job(put(stack, "good/a.wav", GOOD)))
    assert after.state is JobState.SUCCEEDED
    assert stack.components()["worker"]["pid"] == pid


def test_object_that_vanishes_costs_its_windows_and_a_retry_hears_exactly_these(
    stack: JobStack, client: GatewayClient
) -> None:
    content = wav_of(long_recording(LONG_SECONDS, seed=4).pcm)
    source = put(stack, "gone/a.wav", content)
    job = client.create_job(source, JobOptions(lane=JobLane.BULK))
    keys = keys_of(job)
    stack.until_ended(keys, 3)
    stack.jobs.objects.delete(f"default/{source.key}")
    # The worker may hold the file open; another job takes it away from there.
    other = client.create_job(put(stack, "gone/b.wav", GOOD), JobOptions(lane=JobLane.INTERACTIVE))
    assert ended(client, other).state is JobState.SUCCEEDED
    partial = ended(client, job)
    assert partial.state is JobState.PARTIAL
    assert any("OBJECT_NOT_FOUND" in reason for reason in partial.reasons)
    first = documents(stack, keys, 1)
    result = json.loads(first[keys.result(1)])
    failed = {row["window"] for row in result["coverage"] if row["ending"] == "ERROR"}
    stopped = {row["window"] for row in result["coverage"] if row["ending"] == "STOP"}
    assert len(failed) >= 3 and len(stopped) >= 3

    put(stack, source.key, content)
    before = encoder_seconds(stack)
    assert client.retry_job(job.name).round_number == 2
    assert ended(client, job).state is JobState.SUCCEEDED
    encoded = encoder_seconds(stack) - before
    assert stack.jobs.ended_windows(keys, 2) == failed
    assert documents(stack, keys, 1) == first
    again = json.loads(stack.jobs.result(keys, 2) or b"")
    heard = {row["window"]: row for row in again["coverage"] if row["round"] == 2}
    assert set(heard) == failed
    seconds = sum(row["heard_end"] - row["heard_start"] for row in heard.values())
    print(f"retry: {len(failed)} windows, {seconds:.2f} s in the ledger, {encoded:.2f} s encoded")
    assert 0 <= encoded - seconds <= TOKEN_SECONDS * (len(failed) + 20)  # and some probes of a token each


def test_cancel_ends_work_and_frees_the_engine_within_two_seconds(
    stack: JobStack, client: GatewayClient
) -> None:
    job = client.create_job(put(stack, "cancel/a.wav", wav_of(noise(LONG_SECONDS))))
    keys = keys_of(job)
    stack.until_ended(keys, 3)
    assert client.cancel_job(job.name).state is JobState.CANCELLED
    started = time.monotonic()
    while slots(stack):
        assert time.monotonic() - started < CANCEL_SECONDS
    freed = time.monotonic() - started
    time.sleep(max(0.0, started + CANCEL_SECONDS - time.monotonic()))
    encoded, num_ended = encoder_seconds(stack), stack.num_ended(keys)
    time.sleep(2.0)
    assert stack.num_ended(keys) == num_ended
    assert encoder_seconds(stack) - encoded < 1.0  # probes of a token each; a window has seconds
    result: dict[str, Any] = stack.result(keys)
    print(f"cancel: slots free after {freed:.2f} s, {num_ended} windows heard")
    assert result["state"] == "CANCELLED"
    endings = [row["ending"] for row in result["coverage"]]
    assert endings.count("CANCELLED") > num_ended and "ERROR" not in endings


def slots(stack: JobStack) -> float:
    """Slots of the engine that requests hold now."""
    shown = metrics_at(stack.components()["triton"]["metrics"])
    return sum(value for name, value in shown.items() if name.startswith("eureka_kv_slots_used"))


def documents(stack: JobStack, keys: JobKeys, number: int) -> dict[str, bytes]:
    return {key: stack.jobs.objects.get(key) for key in stack.jobs.keys_below(keys.round_folder(number))}
