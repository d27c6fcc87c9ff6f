"""Where the listening commands work: what is named, else what is set, else what runs, else this process."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from eureka.cli.main import main
from eureka.cli.target import Target, choose_target
from eureka.errors import InvalidInputError
from eureka.runtime.settings import load_settings
from eureka.runtime.stack_state import StackFolder, StackState


def arguments(**given: object) -> argparse.Namespace:
    return argparse.Namespace(**{"local": False, "gateway": None, "checkpoint": None, **given})


def choose(**given: object) -> Target:
    return choose_target(arguments(**given), load_settings())


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StackFolder:
    monkeypatch.setenv("EUREKA_STACK__FOLDER", str(tmp_path))
    return StackFolder(tmp_path)


def state(is_ready: bool) -> StackState:
    return StackState(1, "127.0.0.1:4711", is_ready, ())


def test_nothing_named_and_nothing_running_is_this_process() -> None:
    assert choose() == Target(None, "no server is running; working in this process")


def test_running_stack_is_found_and_told(stack: StackFolder) -> None:
    with stack.locked():
        stack.write(state(is_ready=True))
        assert choose() == Target("127.0.0.1:4711", "working at the local stack, 127.0.0.1:4711")
        assert choose(local=True) == Target(None)
        assert choose(gateway="host:1") == Target("host:1")


def test_stack_that_is_gone_or_not_ready_is_not_taken(stack: StackFolder) -> None:
    with stack.locked():
        stack.write(state(is_ready=False))
        assert choose() == Target(None, "the local stack is not ready; working in this process")
    stack.write(state(is_ready=True))  # as a killed supervisor leaves it
    assert choose().gateway is None


def test_setting_comes_before_the_stack(stack: StackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EUREKA_TARGET", "gateway.example:443")
    with stack.locked():
        stack.write(state(is_ready=True))
        found = choose()
    assert found.gateway == "gateway.example:443" and "EUREKA_TARGET" in found.told
    assert choose(local=True) == Target(None)


def test_checkpoint_with_a_gateway_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="Add --local") as caught:
        choose(gateway="host:1", checkpoint=Path("mine"))
    assert caught.value.reason == "CHECKPOINT_WITH_GATEWAY"
    monkeypatch.setenv("EUREKA_TARGET", "host:1")
    with pytest.raises(InvalidInputError):
        choose(checkpoint=Path("mine"))
    assert choose(local=True, checkpoint=Path("mine")) == Target(None)


def test_checkpoint_comes_before_a_stack_that_nobody_named(stack: StackFolder) -> None:
    with stack.locked():
        stack.write(state(is_ready=True))
        found = choose(checkpoint=Path("mine"))
    assert found.gateway is None and "--checkpoint" in found.told


def test_local_and_gateway_exclude_each_other() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["transcribe", "a.wav", "--local", "--gateway", "host:1"])
    assert ended.value.code == 2


@pytest.mark.parametrize("value", ["nowhere", "host:", "host port:1"])
def test_target_that_is_no_address_stops_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EUREKA_TARGET", value)
    with pytest.raises(InvalidInputError, match="EUREKA_TARGET: "):
        load_settings()


def test_key_that_no_header_carries_stops_the_start_unprinted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EUREKA_API_KEY", "hunter 2\n")
    with pytest.raises(InvalidInputError, match="EUREKA_API_KEY: ") as caught:
        load_settings()
    assert "hunter" not in caught.value.message
    monkeypatch.setenv("EUREKA_API_KEY", "hunter2")
    settings = load_settings()
    assert settings.api_key.get_secret_value() == "hunter2" and "hunter2" not in repr(settings)
