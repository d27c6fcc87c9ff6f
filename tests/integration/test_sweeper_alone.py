"""The sweeper without workers: it queues what is due, shows what is left, and ends at a signal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from redis import Redis

from eureka.clients.task_queue import queue_of
from eureka.storage.local import LocalObjectStore
from tests.helpers.job_rig import JobRig, tone_model
from tests.helpers.redis_server import running_redis
from tests.helpers.sounds import wav_of
from tests.helpers.tokenizers import small_nano_tokenizer
from tests.helpers.tone_model import WORDS, say

SECONDS = 60.0
"""For the process to start and sweep on a loaded machine."""


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def shown(port: int, line: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return line in answer.read().decode().splitlines()
    except OSError:
        return False


def test_job_is_queued_and_counted_while_there_is_no_worker(tmp_path: Path, repo_root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    tokenizer = small_nano_tokenizer(tmp_path)
    rig = JobRig(LocalObjectStore(tmp_path / "objects"), tone_model(tokenizer))
    rig.create(wav_of(say([WORDS[0]] * 4)))
    with running_redis(tmp_path) as address:
        settings = {
            "EUREKA_QUEUE__URL": f"redis://{address}/0",
            "EUREKA_STORAGE__FOLDER": str(tmp_path / "objects"),
            "EUREKA_WORKER__METRICS_PORT": str(port),
            "EUREKA_WORKER__SWEEP_SECONDS": "0.5",
            "EUREKA_WORKER__CONCURRENCY": "1",
        }
        environment = {"PATH": os.environ["PATH"], **settings}
        process = subprocess.Popen([sys.executable, "-m", "workers.sweep"], cwd=repo_root, env=environment)
        try:
            until(
                lambda: shown(
                    port, 'eureka_jobs_unfinished{component="sweeper",lane="default",state="PENDING"} 1.0'
                )
            )
            host, _, redis_port = address.rpartition(":")
            with Redis(host, int(redis_port)) as redis:
                assert any(queue_of("default") in key.decode() for key in redis.keys("*"))
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(30)
    assert status == 0


def test_start_that_cannot_be_is_one_line(repo_root: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "EUREKA_QUEUE__VISIBILITY_SECONDS": "1"}
    command = [sys.executable, "-m", "workers.sweep"]
    done = subprocess.run(command, cwd=repo_root, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("VISIBILITY_TOO_SHORT: ") and done.stderr.count("\n") == 1
