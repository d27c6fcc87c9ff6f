"""`eureka jobs ...` at a real gateway: outputs and exit statuses."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eureka.cli.main import main
from eureka.clients.gateway import GatewayClient
from tests.helpers.job_gateway import SPOKEN, Faults, JobGateway, put

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Commands set up the package's logger for a whole process; tests share one."""
    logger = logging.getLogger("eureka")
    handlers, level, propagates = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = handlers, propagates
    logger.setLevel(level)


@pytest.fixture
def run(
    served: JobGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Exit status, stdout and stderr of a command, in a folder of its own."""
    monkeypatch.setenv("EUREKA_API_KEY", served.keys["acme"])
    monkeypatch.setenv("EUREKA_STACK__FOLDER", str(tmp_path / "no-stack"))
    monkeypatch.delenv("EUREKA_TARGET", raising=False)
    monkeypatch.chdir(tmp_path)
    # The gateway runs in this process, and says on our stderr that its decoder hears nothing.
    monkeypatch.setattr(logging.getLogger("eureka.runtime.health"), "disabled", True)

    def command(*arguments: str) -> tuple[int, str, str]:
        status = main(["jobs", *arguments, "--gateway", served.target])
        out, err = capsys.readouterr()
        return status, out, err

    return command


def created(run: Run, *arguments: str) -> dict[str, Any]:
    status, out, err = run("create", *arguments, "--format", "json")
    assert (status, err) == (0, "")
    plain: dict[str, Any] = json.loads(out)
    return plain


def test_commands_take_a_job_from_its_file_to_its_result(run: Run) -> None:
    Path("words.wav").write_bytes(SPOKEN)
    job = created(run, "words.wav", "--tasks", "transcribe", "--label", "command=1", "--lane", "bulk")
    assert job["path"] == "words.wav" and job["lane"] == "bulk" and job["labels"] == {"command": "1"}
    name = job["name"]
    status, out, err = run("watch", name.removeprefix("jobs/"), "--format", "json")
    assert status == 0 and json.loads(out)["state"] == "SUCCEEDED"
    assert "SUCCEEDED" in err and "windows" in err
    assert json.loads(run("get", name, "--format", "json")[1])["progress"] == 1.0
    status, out, err = run("list", "--label", "command=1", "--format", "json")
    assert (status, err) == (0, "")
    listed = json.loads(out)
    assert [one["name"] for one in listed["jobs"]] == [name]
    assert name in run("list", "--state", "SUCCEEDED")[1]
    assert "alpha" in run("download", name, "--format", "txt")[1]
    assert run("download", name, "--format", "srt", "--output", "words.srt")[:2] == (0, "")
    assert "-->" in Path("words.srt").read_text()
    assert json.loads(run("delete", name, "--format", "json")[1]) == {"name": name, "deleted": True}
    status, out, err = run("get", name)
    assert status == 2 and out == "" and "(JOB_NOT_FOUND)" in err


def test_watch_of_what_did_not_succeed_exits_with_1(run: Run, faults: Faults) -> None:
    Path("words.wav").write_bytes(SPOKEN)
    faults.is_on = True
    try:
        name = created(run, "words.wav")["name"]
        status, out, _ = run("watch", name)
    finally:
        faults.is_on = False
    assert status == 1 and "PARTIAL" in out
    assert "(PARTIAL" not in run("download", name)[1]
    assert "is PARTIAL" in run("download", name)[2]
    assert run("retry", name)[0] == 0
    assert run("watch", name)[0] == 0


def test_file_that_fails_leaves_the_others_alone(run: Run) -> None:
    Path("words.wav").write_bytes(SPOKEN)
    status, out, _ = run("create", "words.wav", "none.wav", "--format", "json")
    made, failed = json.loads(out)["results"]
    assert status == 1 and made["name"].startswith("jobs/")
    assert failed["path"] == "none.wav" and failed["error"]["reason"] == "FILE_NOT_FOUND"


def test_prefix_makes_a_batch(run: Run, served: JobGateway, client: GatewayClient) -> None:
    put(served, "commands/a.wav")
    put(served, "commands/b.wav")
    batch = created(run, "--prefix", "commands/")
    assert sum(batch["children"].values()) == 2
    assert run("watch", batch["name"])[0] == 0
    listed = json.loads(run("list", "--parent", batch["name"], "--format", "json")[1])
    assert [one["path"] for one in listed["jobs"]] == ["commands/a.wav", "commands/b.wav"]


def test_cancel_ends_a_job(run: Run, served: JobGateway) -> None:
    Path("words.wav").write_bytes(SPOKEN)
    with served.queue.held():
        name = created(run, "words.wav")["name"]
        status, out, _ = run("cancel", name)
        assert status == 0 and "CANCELLED" in out
    assert run("watch", name)[0] == 1


def test_create_without_files_and_a_gateway_that_is_nowhere_are_told(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("create")[0] == 2
    assert main(["jobs", "list"]) == 2
    assert "(NO_GATEWAY)" in capsys.readouterr().err
