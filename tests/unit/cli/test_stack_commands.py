"""up, down, restart and status where no Triton is needed."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from eureka.cli.demo_served import requests_served
from eureka.cli.main import main
from eureka.runtime.metrics import Metrics, serve_metrics
from eureka.runtime.stack_state import ComponentState, StackFolder, StackState


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackFolder:
    monkeypatch.setenv("EUREKA_STACK__FOLDER", str(tmp_path / "state"))
    return StackFolder(tmp_path / "state")


def _state(metrics: str | None = None, is_ready: bool = False) -> StackState:
    decoder = ComponentState("decoder-2", os.getpid(), "127.0.0.1:1", "starting", metrics)
    return StackState(os.getpid(), "127.0.0.1:2", is_ready, (decoder,))


def test_status_and_down_of_nothing_say_so_and_make_nothing(folder, capsys) -> None:
    assert main(["status", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ready": False, "components": []}
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "no stack is running\n"
    assert main(["down"]) == 0
    assert "no stack is running" in capsys.readouterr().err
    assert not folder.path.exists()


def test_status_of_a_stack_that_starts_is_not_ready(folder, capsys) -> None:
    with folder.locked():
        folder.write(_state())
        assert main(["status", "--format", "json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert main(["status"]) == 0
    assert found["ready"] is False
    supervisor, decoder = found["components"]
    assert supervisor == {
        "name": "supervisor",
        "pid": os.getpid(),
        "address": None,
        "state": "starting",
    }
    assert decoder == {
        "name": "decoder-2",
        "pid": os.getpid(),
        "address": "127.0.0.1:1",
        "state": "starting",
    }
    assert capsys.readouterr().out.endswith("not ready\n")


def test_up_beside_a_running_stack_says_where_it_is_and_succeeds(folder, capsys) -> None:
    with folder.locked():
        folder.write(_state(is_ready=True))
        assert main(["up"]) == 0
        assert main(["up", "--detach"]) == 0
    assert capsys.readouterr().err.count("running already; gateway 127.0.0.1:2") == 2


def _start_elsewhere(folder: StackFolder, comes_up: bool, done: threading.Event) -> None:
    with folder.locked():
        folder.write(_state())
        done.wait(0.5)
        if comes_up:
            folder.write(_state(is_ready=True))
            done.wait()


@pytest.mark.parametrize("comes_up", [True, False])
def test_up_detached_beside_a_stack_that_starts_waits_for_its_outcome(folder, capsys, comes_up) -> None:
    done = threading.Event()
    other = threading.Thread(target=_start_elsewhere, args=(folder, comes_up, done))
    other.start()
    while folder.read() is None:
        time.sleep(0.01)
    started = time.monotonic()
    assert main(["up", "--detach"]) == (0 if comes_up else 1)
    assert time.monotonic() - started > 0.2
    done.set()
    other.join()
    told = capsys.readouterr().err
    assert ("running already; gateway 127.0.0.1:2" if comes_up else "ended before it was ready") in told


def test_served_requests_are_read_from_the_metrics_ports(folder) -> None:
    from prometheus_client import CollectorRegistry

    metrics = Metrics("decoder", CollectorRegistry())
    metrics.record_call("DecoderService/Generate", "OK", 0.1)
    metrics.record_call("DecoderService/Score", "OK", 0.1)
    server = serve_metrics(metrics.registry)
    try:
        with folder.locked():
            folder.write(_state(f"127.0.0.1:{server.port}"))
            assert requests_served(folder) == {"decoder": 2}
    finally:
        server.stop()


def test_restart_without_a_stack_says_so(folder, capsys) -> None:
    folder.path.mkdir()
    assert main(["restart", "gateway"]) == 2
    assert "no stack is running" in capsys.readouterr().err
    folder.path.rmdir()
    assert main(["restart", "gateway"]) == 2
    assert "STACK_NOT_RUNNING" in capsys.readouterr().err
