"""The listening commands at a gateway: the same outputs as in this process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eureka.cli.main import main
from eureka.errors import QueueFullError, UnauthenticatedError
from tests.helpers.small_gateway import SmallGateway, serving, small_gateway

COMMANDS: dict[str, list[str]] = {
    "transcribe": [],
    "caption": [],
    "ask": ["what is it", "--max-new-tokens", "5"],
    "classify": ["--labels", "dog, sea_waves"],
}


@pytest.fixture(scope="module")
def served(checkpoint: Path) -> Iterator[tuple[SmallGateway, str]]:
    with small_gateway(checkpoint) as gateway, serving(gateway) as targets:
        yield gateway, targets["plain"]


@pytest.fixture
def gateway(served: tuple[SmallGateway, str]) -> SmallGateway:
    gateway, _ = served
    gateway.max_inline_bytes, gateway.max_window_seconds = 1 << 20, 300.0
    gateway.faults.clear()
    gateway.seen.clear()
    return gateway


@pytest.fixture
def target(served: tuple[SmallGateway, str]) -> str:
    return served[1]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(each) for each in arguments])
    streams = capsys.readouterr()
    return status, streams.out, streams.err


def without_seconds(plain: dict[str, Any]) -> dict[str, Any]:
    """A result without what the clock and single precision change."""
    plain["usage"]["seconds"] = sorted(plain["usage"]["seconds"])
    if "scores" in plain:
        plain["scores"] = {label: round(value, 5) for label, value in plain["scores"].items()}
    return plain


@pytest.mark.parametrize("command", COMMANDS)
def test_object_is_that_of_local_mode(
    command: str,
    capsys: pytest.CaptureFixture[str],
    gateway: SmallGateway,
    target: str,
    checkpoint: Path,
    long_clip: Path,
) -> None:
    rest = [long_clip, *COMMANDS[command], "--format", "json"]
    status, here, _ = run(capsys, command, *rest, "--local", "--checkpoint", checkpoint)
    assert status == 0
    status, there, told = run(capsys, command, *rest, "--gateway", target)
    assert (status, told) == (0, "")
    assert without_seconds(json.loads(there)) == without_seconds(json.loads(here))


@pytest.mark.parametrize("form", ["srt", "vtt", "text"])
def test_other_forms_are_those_of_local_mode(
    form: str,
    capsys: pytest.CaptureFixture[str],
    gateway: SmallGateway,
    target: str,
    checkpoint: Path,
    long_clip: Path,
) -> None:
    rest = ["transcribe", long_clip, "--format", form]
    here = run(capsys, *rest, "--local", "--checkpoint", checkpoint)
    assert run(capsys, *rest, "--gateway", target) == here


def test_file_that_fails_leaves_others_alone_and_large_ones_are_uploaded(
    capsys: pytest.CaptureFixture[str],
    gateway: SmallGateway,
    target: str,
    clip: Path,
    long_clip: Path,
    tmp_path: Path,
) -> None:
    gateway.max_inline_bytes, gateway.max_window_seconds = 100_000, 10.0
    picture, empty = tmp_path / "picture.png", tmp_path / "empty.wav"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    empty.touch()
    files = [clip, tmp_path / "missing.wav", tmp_path, long_clip, picture, empty, clip]
    status, out, err = run(capsys, "transcribe", *files, "--gateway", target, "--format", "jsonl")
    objects = [json.loads(line) for line in out.splitlines()]
    assert status == 1 and err == ""
    assert [each["path"] for each in objects] == [str(file) for file in files]
    reasons = [each.get("error", {}).get("reason") for each in objects]
    assert reasons[:4] == [None, "FILE_NOT_FOUND", "NOT_A_FILE", "AUDIO_TOO_LONG"]
    assert reasons[4] is not None and reasons[5:] == ["EMPTY_AUDIO", None]
    assert objects[3]["error"]["code"] == "INVALID_ARGUMENT"
    assert list(gateway.uploads.values()) == [long_clip.read_bytes()]


def test_target_of_the_settings_is_told_and_gets_the_key(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    gateway: SmallGateway,
    target: str,
    clip: Path,
) -> None:
    monkeypatch.setenv("EUREKA_TARGET", target)
    monkeypatch.setenv("EUREKA_API_KEY", "secret")
    status, out, err = run(capsys, "caption", clip)
    assert status == 0 and out.strip()
    assert err == f"eureka: working at the gateway {target} (EUREKA_TARGET)\n"
    assert {metadata["authorization"] for _, metadata in gateway.seen} == {"Bearer secret"}


def test_gateway_that_is_away_is_one_message(capsys: pytest.CaptureFixture[str], clip: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        status, out, err = run(capsys, "transcribe", clip, clip, "--gateway", target)
    assert (status, out) == (2, "")
    assert err.startswith(f"eureka: no gateway answers at {target}: ") and "(GATEWAY_UNREACHABLE)" in err
    status, _, err = run(capsys, "transcribe", clip, "--gateway", "nowhere")
    assert status == 2 and "(INVALID_TARGET)" in err


def test_refused_call_is_a_failed_object(
    capsys: pytest.CaptureFixture[str], gateway: SmallGateway, target: str, clip: Path
) -> None:
    gateway.faults += [UnauthenticatedError("no key", reason="MISSING_KEY")]
    status, out, _ = run(capsys, "transcribe", clip, clip, "--gateway", target, "--format", "json")
    first, second = json.loads(out)["results"]
    assert status == 1 and "error" not in second
    assert first["error"] == {"code": "UNAUTHENTICATED", "reason": "MISSING_KEY", "message": "no key"}


def test_full_gateway_is_asked_again(
    capsys: pytest.CaptureFixture[str], gateway: SmallGateway, target: str, clip: Path
) -> None:
    gateway.faults += [QueueFullError("no room")]
    assert run(capsys, "transcribe", clip, "--gateway", target)[0] == 0


def test_gateway_mode_imports_neither_torch_nor_av(gateway: SmallGateway, target: str, clip: Path) -> None:
    arguments = ["transcribe", str(clip), "--gateway", target]
    found = _run_without(["torch", "av", "tokenizers"], arguments)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() and found.stderr == ""


def test_this_process_without_the_model_says_what_to_install(clip: Path) -> None:
    found = _run_without(["av"], ["transcribe", str(clip), "--local"])
    assert found.returncode == 2
    assert "eureka[local]" in found.stderr and "(NOT_INSTALLED)" in found.stderr


def _run_without(modules: list[str], arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """A command in a process where importing any of `modules` fails."""
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"
        f"from eureka.cli.main import main; sys.exit(main({arguments!r}))"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
