"""A worker whose job is stopped in the middle of an answer, and one that hears again what failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from eureka.errors import CancelledError
from eureka.jobs.rounds import retry_job
from eureka.types import Ending, Task, TextRequest
from tests.helpers.job_rig import JobRig, WatchedStore, result_of, tone_model
from tests.helpers.redis_server import running_redis
from tests.helpers.sounds import wav_of
from tests.helpers.tokenizers import small_nano_tokenizer
from tests.helpers.tone_model import WORDS, say
from tests.helpers.worker_rig import WorkerRig

AUDIO = wav_of(say([WORDS[number % 10] for number in range(56)]))
"""40 s, six windows."""

CANCEL_SECONDS = 2.0
"""From the mark in the store to the end of the answer that is running."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def redis(address: str) -> Iterator[Redis]:
    host, _, port = address.rpartition(":")
    client = Redis(host, int(port))
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return small_nano_tokenizer(tmp_path_factory.mktemp("tokenizer"))


class EndlessCall:
    """A call whose answer goes on until it is ended, as one of a busy engine may for minutes."""

    def __init__(self) -> None:
        self.began, self.ended = threading.Event(), threading.Event()

    def cancel(self) -> None:
        self.ended.set()

    def answer(self, request: TextRequest, number: int) -> None:
        self.began.set()
        assert self.ended.wait(60), "nobody ended the call"
        raise CancelledError("the call was cancelled")

    @contextmanager
    def open(self, *arguments: object) -> Iterator[EndlessCall]:
        """In place of `WorkerStages.call`."""
        yield self


@pytest.mark.parametrize("mark", ["cancel", "delete"])
def test_answer_that_is_running_is_ended_when_its_job_is_stopped(
    tmp_path: Path, redis: Redis, tokenizer: Any, mark: str
) -> None:
    call = EndlessCall()
    rig = JobRig(WatchedStore(tmp_path), tone_model(tokenizer, call.answer))
    worker, keys = WorkerRig(rig, redis), rig.create(AUDIO)
    worker.steps.plan(keys)
    worker.stages.call = call.open  # type: ignore[method-assign, assignment]
    window = worker.queue.messages[0][1][0]
    running = threading.Thread(target=worker.steps.window, args=(window,))
    running.start()
    try:
        assert call.began.wait(10)
        started = time.monotonic()
        if mark == "cancel":
            rig.jobs.cancel(keys)
        else:
            rig.store.put(keys.delete, b'{"version":1}\n')
        running.join(10)
        seconds = time.monotonic() - started
    finally:
        call.cancel()
        running.join(10)
        worker.close()
    assert seconds < CANCEL_SECONDS
    assert not rig.jobs.ended_windows(keys, 1) and not worker.claims.is_live(window.key)


def test_retry_on_workers_hears_exactly_what_failed_and_leaves_the_first_round(
    tmp_path: Path, redis: Redis, tokenizer: Any
) -> None:
    failing = {1, 4}
    attempts: dict[int, int] = {}

    def fail(request: TextRequest, number: int) -> tuple[list[str], Ending] | None:
        return (["alpha"], Ending.LENGTH) if current in failing else None

    rig = JobRig(WatchedStore(tmp_path), tone_model(tokenizer, fail))
    worker, keys = WorkerRig(rig, redis), rig.create(AUDIO, tasks=(Task.TRANSCRIBE,))
    worker.steps.plan(keys)
    current = -1
    while worker.queue.messages:  # one at a time, so that the fault knows its window
        task, arguments = worker.queue.messages.pop(0)
        current = arguments[0].index if task == "window" else -1
        getattr(worker.steps, task)(*arguments)
    assert result_of(rig, keys)["state"] == "PARTIAL"
    before = {key: rig.store.get(key) for key in rig.jobs.keys_below(keys.round_folder(1))}
    failing.clear()
    asked = len(rig.model.decoder.requests)  # type: ignore[attr-defined]

    assert retry_job(rig.jobs, keys) == 2
    worker.sweeper().sweep()
    done: list[int] = []
    while worker.queue.messages:
        task, arguments = worker.queue.messages.pop(0)
        if task == "window":
            done.append(arguments[0].index)
            attempts[arguments[0].index] = arguments[0].round_number
        getattr(worker.steps, task)(*arguments)
    worker.close()

    assert sorted(done) == [1, 4] and attempts == {1: 2, 4: 2}
    assert len(rig.model.decoder.requests) == asked + 2  # type: ignore[attr-defined]
    assert rig.jobs.ended_windows(keys, 2) == {1, 4}
    assert {key: rig.store.get(key) for key in rig.jobs.keys_below(keys.round_folder(1))} == before
    assert set(rig.store.wins.values()) == {1}
    result = result_of(rig, keys, 2)
    assert result["state"] == "SUCCEEDED"
    assert {row["window"] for row in result["coverage"] if row["round"] == 2} == {1, 4}
