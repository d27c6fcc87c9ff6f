"""stack.json, the lock and the logs of a stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from eureka.errors import WrongStateError
from eureka.runtime.stack_left_over import end_left_over
from eureka.runtime.stack_state import ComponentState, StackFolder, StackState


def _state(pid: int | None = None) -> StackState:
    components = (ComponentState("gateway", pid, "127.0.0.1:1", "ready", "127.0.0.1:2"),)
    return StackState(1, "127.0.0.1:1", True, components)


def test_state_is_read_while_a_supervisor_holds_the_lock_and_gone_with_it(tmp_path) -> None:
    folder = StackFolder(tmp_path / "state")
    assert folder.read() is None and not folder.is_locked()
    with folder.locked():
        folder.write(_state())
        assert StackFolder(folder.path).is_locked()
        assert folder.read() == _state()
        plain = json.loads(folder.state_file.read_text())
        assert plain["supervisor_pid"] == 1 and plain["gateway"] == "127.0.0.1:1" and plain["ready"] is True
        assert plain["components"][0]["name"] == "gateway"
    assert folder.read() is None and not folder.state_file.exists()


def test_second_supervisor_of_a_folder_is_refused(tmp_path) -> None:
    folder = StackFolder(tmp_path)
    with folder.locked(), pytest.raises(WrongStateError) as raised, StackFolder(tmp_path).locked():
        pass
    assert raised.value.reason == "STACK_RUNNING"


def test_state_that_no_supervisor_holds_does_not_count(tmp_path) -> None:
    folder = StackFolder(tmp_path)
    folder.write(_state())
    assert folder.read() is None and folder.read_any() == _state()
    folder.state_file.write_text("{}")
    assert folder.read_any() is None


def test_left_over_process_is_ended_and_a_younger_one_left_alone(tmp_path) -> None:
    folder = StackFolder(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        folder.write(_state(process.pid))
        os.utime(folder.state_file, (1e9, 1e9))
        assert end_left_over(folder, 0.1) == 0
        assert process.poll() is None
        folder.write(_state(process.pid))
        assert end_left_over(folder, 0.1) == 1
        assert process.poll() is not None
    assert not folder.state_file.exists()


def test_log_tail_gives_the_last_lines_and_an_old_log_is_set_aside(tmp_path) -> None:
    folder = StackFolder(tmp_path)
    folder.logs.mkdir()
    folder.log_file("encoder").write_text("\n".join(map(str, range(50))))
    assert folder.log_tail("encoder", 3) == ["47", "48", "49"]
    folder.start_log("encoder")
    assert folder.log_tail("encoder") == []
    assert folder.log_file("encoder").with_suffix(".log.old").exists()
