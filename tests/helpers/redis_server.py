"""A redis-server of the tests, with the arguments of the local stack."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from eureka.runtime.stack_plan import PortChooser, redis_command
from eureka.runtime.stack_process import with_parent


def redis_program() -> str:
    """The program; where it is missing a skip by name, and a failure in CI."""
    found = shutil.which("redis-server")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("no redis-server (CI=true: a skip is a failure)")
    if found is None:
        pytest.skip("no redis-server; apt-get install redis-server")
    return found


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """A server that ends with the block, and with this process; its host:port."""
    port = PortChooser().near("127.0.0.1", 0)
    command = redis_command(redis_program(), port, folder)
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(with_parent(command), stdout=log, stderr=log)
    try:
        until_it_answers(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def until_it_answers(port: int, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    client = Redis(port=port)
    try:
        client.ping()
    except RedisError:
        time.sleep(0.1)
        client.ping()
    finally:
        client.close()
