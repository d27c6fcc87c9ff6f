"""Workers of the tests beside a stack, started again whenever they end, as supervisors do."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from eureka.runtime.settings import checkout_root
from eureka.runtime.stack_process import service_command

PAUSE_SECONDS = 0.5
"""Between an end and the next start."""

GRACE_SECONDS = 30.0


class KeptWorkers:
    """So many workers while the block lasts.

    Args:
        count: how many.
        environment: of all of them.
        logs: folder of their logs.
    """

    def __init__(self, count: int, environment: Mapping[str, str], logs: Path) -> None:
        self._environment = environment
        self._logs = logs
        self._closing = threading.Event()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        names = [f"kept-{number}" for number in range(1, count + 1)]
        self._threads = [threading.Thread(target=self._keep, args=(name,), daemon=True) for name in names]

    def __enter__(self) -> KeptWorkers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for process in self._processes.values():
            process.terminate()
        for thread in self._threads:
            thread.join(GRACE_SECONDS)
        for process in self._processes.values():
            process.kill()

    def pids(self) -> dict[str, int]:
        """Name of each worker -> its process now."""
        return {name: process.pid for name, process in self._processes.items() if process.poll() is None}

    def kill(self, name: str) -> int:
        """End a worker at once; the process that it was."""
        pid = self._processes[name].pid
        os.kill(pid, signal.SIGKILL)
        return pid

    def _keep(self, name: str) -> None:
        environment = {**self._environment, "EUREKA_WORKER__NAME": name}
        with (self._logs / f"{name}.log").open("wb") as log:
            while not self._closing.is_set():
                process = subprocess.Popen(
                    service_command("workers"), cwd=checkout_root(), env=environment, stdout=log, stderr=log
                )
                self._processes[name] = process
                process.wait()
                self._closing.wait(PAUSE_SECONDS)
