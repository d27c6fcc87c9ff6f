from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import pytest

from eureka.errors import StageUnavailableError
from eureka.training.batch_stream import BatchStream
from tests.helpers.numbered_batches import NumberedBatches


def _take(count: int, start: int = 0, num_workers: int = 0, stride: int = 1) -> list[np.ndarray]:
    with BatchStream(NumberedBatches, start, num_workers, depth=2, stride=stride) as stream:
        return list(islice(stream, count))


def _wanted(numbers: range) -> list[np.ndarray]:
    return [NumberedBatches().make(number) for number in numbers]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_stream_with_any_number_of_workers_gives_the_same_order(num_workers: int) -> None:
    np.testing.assert_array_equal(_take(7, num_workers=num_workers), _wanted(range(7)))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_stream_from_the_middle_goes_on_where_it_was(num_workers: int) -> None:
    np.testing.assert_array_equal(_take(4, start=5, num_workers=num_workers), _wanted(range(5, 9)))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_stream_of_one_of_three_processes_takes_every_third(num_workers: int) -> None:
    found = _take(4, start=1, num_workers=num_workers, stride=3)
    np.testing.assert_array_equal(found, _wanted(range(1, 13, 3)))


def test_stream_with_a_dead_worker_gives_a_clear_error(capfd: pytest.CaptureFixture[str]) -> None:
    build = partial(NumberedBatches, fails_at=2)
    with BatchStream(build, 0, num_workers=1, wait_seconds=0.1) as stream:
        batches = iter(stream)
        assert len([next(batches), next(batches)]) == 2
        with pytest.raises(StageUnavailableError, match="data worker ended with exit status 1") as caught:
            next(batches)
    assert caught.value.reason == "DATA_WORKER_ENDED"
    assert "no batch 2" in capfd.readouterr().err


def test_stream_closed_leaves_no_process() -> None:
    _take(2, num_workers=2)
    assert not multiprocessing.active_children()


def test_stream_workers_compute_with_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with BatchStream(Environment, 0, num_workers=1) as stream:
        assert next(iter(stream)) == ("1", "1")
    assert os.environ["OMP_NUM_THREADS"] == "7" and "OPENBLAS_NUM_THREADS" not in os.environ


def test_stream_workers_end_when_their_parent_was_killed() -> None:
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    trainer = context.Process(target=_train_until_killed, args=(writer,))
    trainer.start()
    assert reader.poll(60)
    worker = reader.recv()
    trainer.kill()
    trainer.join()
    deadline = time.monotonic() + 30
    while _is_alive(worker):
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Environment:
    """Makes batches that tell the worker's environment."""

    def make(self, index: int) -> tuple[str | None, str | None]:
        return os.environ.get("OMP_NUM_THREADS"), os.environ.get("OPENBLAS_NUM_THREADS")


def _train_until_killed(writer: object) -> None:
    with BatchStream(NumberedBatches, 0, num_workers=1, depth=1, wait_seconds=0.1) as stream:
        next(iter(stream))
        [worker] = multiprocessing.active_children()
        writer.send(worker.pid)  # type: ignore[attr-defined]
        time.sleep(120)


def _is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and that nobody has waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
