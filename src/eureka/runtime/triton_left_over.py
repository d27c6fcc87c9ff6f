"""What processes that were killed have left behind: Triton's work folders, and files of shared memory.

Their names hold the number of the process that made them. A process that lives keeps its files, also one that
has only got the same number.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

_log = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps POSIX shared memory."""

WORK_PREFIX = "eureka-triton-"
"""Of Triton's work folders and its shared memory; the process id of its launcher follows."""

_WORK = re.compile(r"eureka-triton-(\d+)-\w{8}")
"""As mkdtemp names folders."""

_MEMORY = re.compile(r"eureka-(?:(\d+)-[0-9a-f]{32}|triton-(\d+)-\d+-.+)")
"""Regions of a stage's client; those between a Triton and its models. Strict: the folder is everybody's."""


def work_prefix(pid: int) -> str:
    """Beginning of the names of what a launcher in process `pid` makes."""
    return f"{WORK_PREFIX}{pid}-"


def remove_left_over(work: Path | None = None, memory: Path = SHARED_MEMORY) -> int:
    """Remove what dead processes have left; how many files and folders went.

    Args:
        work: where work folders are; None is the folder for temporary files.
        memory: where files of shared memory are.
    """
    folder = work or Path(tempfile.gettempdir())
    found = [*_left_over(folder, _WORK), *_left_over(memory, _MEMORY)]
    num_removed = sum(map(_is_removed, found))
    if num_removed:
        _log.info("left_over_files_removed", extra={"num_files": num_removed})
    return num_removed


def _left_over(folder: Path, names: re.Pattern[str]) -> Iterator[Path]:
    for path in folder.glob("eureka-*"):
        match = names.fullmatch(path.name)
        if match is not None and not psutil.pid_exists(int(match[match.lastindex or 0])):
            yield path


def _is_removed(path: Path) -> bool:
    """What is not ours to remove, or has gone meanwhile, stays out."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    return True
