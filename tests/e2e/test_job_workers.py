"""Jobs on the local stack: heard by its workers as in one process, whatever dies meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.gateway_stack import metrics_at
from tests.helpers.heard_whole import check_rain, heard, overlaps
from tests.helpers.job_stack import JobStack, check_same
from tests.helpers.long_recording import long_recording, recording_without_pause, with_rain
from tests.helpers.sounds import wav_of
from tests.helpers.stack_user import StackUser, until
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint
from tests.helpers.webhook_receiver import SECRET, WebhookReceiver

AUDIO_SECONDS = 90.0
"""So many windows that a kill comes in the middle of them."""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def stack(user: StackUser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobStack]:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no redis-server (CI=true: a skip is a failure)")
        pytest.skip("no redis-server; apt-get install redis-server")
    checkpoint = write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))
    user.environment |= {
        "EUREKA_CHECKPOINT": str(checkpoint),
        "EUREKA_BATCH_INVARIANT": "true",
        "EUREKA_STACK__WORKERS": "2",
        "EUREKA_WORKER__CONCURRENCY": "1",
        "EUREKA_WORKER__SWEEP_SECONDS": "0.5",
        "EUREKA_WORKER__CLAIM_SECONDS": "2",
        "EUREKA_WORKER__WEBHOOK_SECRET": SECRET,
        "EUREKA_WORKER__PRIVATE_WEBHOOKS": "true",
    }
    user.run("up", "--detach")
    yield JobStack(user)


@pytest.fixture(scope="module")
def audio() -> bytes:
    return wav_of(long_recording(AUDIO_SECONDS, seed=3).pcm)


@pytest.fixture(scope="module")
def job(stack: JobStack, audio: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What an undisturbed job says, but for its name and cost."""
    keys = stack.create(audio)
    result = stack.result(keys)
    assert result["state"] == "SUCCEEDED", result["reasons"]
    check_same(stack.jobs, stack.heard_here(keys, tmp_path_factory.mktemp("here")), keys)
    return said(result)


def said(result: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in result.items() if name not in ("name", "usage")}


def test_job_is_heard_as_in_one_process_over_the_same_stages(job: dict[str, object]) -> None:
    assert job["state"] == "SUCCEEDED"


def test_recording_with_pauses_and_soft_rain_is_heard_whole(stack: JobStack, data_folder: Path) -> None:
    result = heard(stack, with_rain(long_recording(150.0, data_folder, seed=5).pcm))
    assert "SILENCE" in {row["ending"] for row in result["coverage"]}
    check_rain(result)


def test_speech_over_music_without_any_pause_is_heard_whole(stack: JobStack, data_folder: Path) -> None:
    result = heard(stack, recording_without_pause(90.0, data_folder, seed=5))
    assert {row["ending"] for row in result["coverage"]} == {"STOP"}
    assert overlaps(result), "every window ended in a pause"


def test_job_that_was_never_told_is_found(stack: JobStack, audio: bytes, job: dict[str, object]) -> None:
    assert said(stack.result(stack.create(audio, is_told=False))) == job


def test_killed_worker_loses_nothing(stack: JobStack, audio: bytes, job: dict[str, object]) -> None:
    pid = stack.components()["worker"]["pid"]
    keys = stack.create(audio)
    stack.kill(keys, pid)
    assert said(stack.result(keys)) == job


def test_flushed_redis_loses_nothing(stack: JobStack, audio: bytes, job: dict[str, object]) -> None:
    redis = stack.redis()
    redis.ping()
    keys = stack.create(audio)
    stack.until_ended(keys, 2)
    redis.flushall()
    assert stack.jobs.result(keys, 1) is None, "the job had ended before"
    redis.close()
    assert said(stack.result(keys)) == job


def test_killed_redis_loses_nothing(stack: JobStack, audio: bytes, job: dict[str, object]) -> None:
    pid = stack.components()["redis"]["pid"]
    keys = stack.create(audio)
    stack.kill(keys, pid)
    assert said(stack.result(keys)) == job
    until(lambda: bool(stack.user.status()["ready"]))


def test_webhook_is_told_once_more_after_an_error_and_signed(stack: JobStack, audio: bytes) -> None:
    with WebhookReceiver(statuses=[500]) as receiver:
        keys = stack.create(audio, webhook=receiver.url)
        stack.result(keys)
        first, second = receiver.wait(2, seconds=40)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == f"{keys.job_id}.1.ended"
    assert first.is_signed and second.is_signed and first.body == second.body
    assert b"SUCCEEDED" in first.body


def test_deleted_job_is_removed(stack: JobStack, audio: bytes) -> None:
    keys = stack.create(audio)
    stack.until_ended(keys, 1)
    stack.jobs.objects.put(keys.delete, b'{"version":1}\n')
    until(lambda: not stack.jobs.objects.list_objects(keys.folder).objects)


def test_workers_show_their_metrics_and_log_no_words(stack: JobStack, job: dict[str, object]) -> None:
    shown: dict[str, float] = {}
    for name, one in stack.components().items():
        if name.startswith("worker"):
            shown |= metrics_at(one["metrics"])
    ends = [name for name in shown if name.startswith("eureka_requests_total") and 'method="window"' in name]
    assert any('code="WRITTEN"' in name for name in ends)
    log = (stack.user.logs / "worker-2.log").read_text()
    assert "task_ended task=window" in log
    words = [str(segment["text"]) for segment in job["segments"] if len(segment["text"]) > 8]  # type: ignore[attr-defined]
    assert words and not [text for text in words if text in log]
