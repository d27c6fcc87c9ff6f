"""A user of a local stack of its own, by the command line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

PORTS = ("GATEWAY__PORT", "ENCODER__PORT", "ADAPTER__PORT", "DECODER__PORT")
TRITON_PORTS = ("TRITON__HTTP_PORT", "TRITON__GRPC_PORT", "TRITON__METRICS_PORT")


class StackUser:
    """Runs commands on a stack of its own."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        own = {f"EUREKA_{name}": "0" for name in (*PORTS, *TRITON_PORTS)}
        own |= {"EUREKA_STACK__REDIS_PORT": "0", "EUREKA_STORAGE__FOLDER": str(folder / "objects")}
        own |= {"EUREKA_STACK__FOLDER": str(folder), "EUREKA_CHECKPOINT": str(checkpoint)}
        self.environment = {**os.environ, **own}

    def run(self, *arguments: str, timeout: float = 100, status: int = 0) -> subprocess.CompletedProcess[str]:
        """One command; it must end with `status`, and its streams must be closed by then."""
        done = subprocess.run(
            [sys.executable, "-m", "eureka.cli.main", *arguments],
            cwd=self.folder.parent,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == status, done.stderr
        return done

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--format", "json").stdout)
        return found

    def components(self) -> dict[str, Any]:
        return {one["name"]: one for one in self.status()["components"]}

    def pids(self) -> list[int]:
        """Every process of the stack."""
        return [one["pid"] for one in self.status()["components"] if one["pid"] is not None]


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
