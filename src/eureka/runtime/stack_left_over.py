"""Processes of a stack whose supervisor was killed: the kernel told them to end, here they are waited for."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import psutil

from eureka.runtime.stack_state import StackFolder

logger = logging.getLogger(__name__)

_CLOCK_SECONDS = 1.0
"""Times of files and of processes come from different clocks."""


def end_left_over(folder: StackFolder, grace_seconds: float) -> int:
    """Wait for what an earlier supervisor of this folder left behind, and kill what stays; how many it was.

    Only for whoever holds the lock.
    """
    processes = list(_left_over(folder))
    _, alive = psutil.wait_procs(processes, grace_seconds)
    for process in alive:
        logger.warning("left_over_killed", extra={"pid": process.pid})
        process.kill()
    psutil.wait_procs(alive, grace_seconds)
    folder.state_file.unlink(missing_ok=True)
    return len(processes)


def has_ended(pid: int, limit_seconds: float) -> bool:
    """Whether a process is gone, at the latest after the limit."""
    try:
        psutil.Process(pid).wait(limit_seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def _left_over(folder: StackFolder) -> Iterator[psutil.Process]:
    """Living processes that stack.json names; a younger one has only got the same number."""
    state = folder.read_any()
    if state is None:
        return
    written = folder.state_file.stat().st_mtime
    for component in state.components:
        if component.pid is None or not psutil.pid_exists(component.pid):
            continue
        process = psutil.Process(component.pid)
        if process.create_time() < written + _CLOCK_SECONDS:
            yield process
