"""What the launcher does around the server; the server itself is in tests/integration."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from eureka.errors import AlreadyExistsError
from eureka.runtime.triton import check_ports, free_ports, log_tail, model_processes
from eureka.runtime.triton_wheel import TritonWheel, copy_repository


def test_busy_port_is_refused_by_its_number() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(AlreadyExistsError, match=str(port)) as caught:
            check_ports(*free_ports(2), port)
    assert caught.value.reason == "PORT_IN_USE"
    check_ports(port)


def test_program_ends_with_the_parent_that_was_killed(tmp_path: Path) -> None:
    parent_code = (
        "import os, subprocess, sys, time\n"
        "run = [sys.executable, '-m', 'eureka.runtime.exec_with_parent', str(os.getpid())]\n"
        "child = subprocess.Popen([*run, '/bin/sleep', '60'], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        _wait_until_named(child, "sleep")
        os.kill(parent.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs([child], timeout=5)
    assert not alive


def test_processes_of_a_server_that_is_gone_are_none() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    assert model_processes(gone.pid) == []


def test_copied_repository_holds_byte_code_and_nothing_stale(tmp_path: Path, repo_root: Path) -> None:
    copy = copy_repository(repo_root / "model_repo", tmp_path)
    sources = sorted(path.relative_to(copy) for path in copy.rglob("*.py"))
    assert len(sources) == 3
    assert len(list(copy.rglob("__pycache__/model.*.pyc"))) == 3
    assert (copy / "audio_frontend" / "1").is_dir()


def test_environment_puts_this_python_first(tmp_path: Path) -> None:
    environment = TritonWheel(tmp_path, tmp_path / "libs").environment()
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))
    assert environment["LD_LIBRARY_PATH"].endswith(str(tmp_path / "libs"))
    assert environment["OMP_NUM_THREADS"] == "1"


def test_log_tail_of_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "none", 5) == []
    (tmp_path / "log").write_text("1\n2\n3\n")
    assert log_tail(tmp_path / "log", 2) == ["2", "3"]


def _wait_until_named(process: psutil.Process, name: str) -> None:
    deadline = time.monotonic() + 20
    while process.name() != name:
        assert time.monotonic() < deadline
        time.sleep(0.05)
