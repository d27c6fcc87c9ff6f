"""Files of processes that were killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from eureka.runtime.triton_left_over import remove_left_over, work_prefix


def test_only_what_dead_processes_made_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    work, memory, dead, own = tmp_path / "tmp", tmp_path / "shm", gone.pid, os.getpid()
    work_kept = {f"{work_prefix(own)}abcd_123", f"eureka-{dead}-notes", "eureka-triton-i0yedxdb"}
    memory_kept = {f"eureka-{own}-{'a' * 32}", f"{work_prefix(own)}8001-b", f"eureka-{dead}-mine"}
    for name in work_kept | {f"{work_prefix(dead)}abcd_123"}:
        (work / name / "backends").mkdir(parents=True)
    memory.mkdir()
    for name in memory_kept | {f"eureka-{dead}-{'a' * 32}", f"{work_prefix(dead)}8001-b"}:
        (memory / name).write_text("")

    assert remove_left_over(work, memory) == 3
    assert {path.name for path in work.iterdir()} == work_kept
    assert {path.name for path in memory.iterdir()} == memory_kept
