"""Settings: defaults, names, and the one error that stops a start."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from eureka.errors import InvalidInputError
from eureka.runtime import settings, settings_sections
from eureka.runtime.settings import checkout_root, known_names, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("EUREKA_"):
            monkeypatch.delenv(name)


def test_settings_without_environment_have_documented_defaults() -> None:
    found = load_settings()
    assert found.checkpoint == checkout_root() / "checkpoints" / "eureka-nano"
    assert found.data_folder == checkout_root().parent / "shared" / "data"
    assert found.max_ask_audio_seconds == 120
    assert found.audio.silence_dbfs == -70
    assert found.dtype == "float32"


def test_settings_read_top_level_and_section_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EUREKA_NUM_THREADS", "2")
    monkeypatch.setenv("EUREKA_AUDIO__MAX_CHANNELS", "4")
    found = load_settings()
    assert (found.num_threads, found.audio.max_channels) == (2, 4)
    assert found.audio.num_workers == 1


def test_every_known_name_reaches_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in known_names():
        monkeypatch.setenv(name, "no such value")
    with pytest.raises(InvalidInputError) as caught:
        load_settings()
    paths = (
        "EUREKA_CHECKPOINT",
        "_FOLDER",
        "_FILE",
        "__CERTIFICATE",
        "__KEY",
        "_CA",
        "__KUBECONFIG",
        "__TEMPLATE",
        "__MODEL",
    )
    free_text = {name for name in known_names() if name.endswith(paths)}
    for name in set(known_names()) - free_text:
        assert f"{name}: " in caught.value.message


def test_relative_folder_starts_at_checkout_from_any_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EUREKA_CHECKPOINT", "checkpoints/other")
    monkeypatch.chdir(tmp_path)
    assert load_settings().checkpoint == checkout_root() / "checkpoints" / "other"


def test_absolute_folder_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EUREKA_CACHE_FOLDER", str(tmp_path))
    assert load_settings().cache_folder == tmp_path


@pytest.mark.parametrize(
    "name",
    ["EUREKA_CHEKPOINT", "EUREKA_AUDIO__SPEED", "EUREKA_AUDIO", "eureka_dtype", "EUREKA_AUDIO_MAX_BYTES"],
)
def test_unknown_name_stops_the_start_and_lists_known_ones(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "{}")
    with pytest.raises(InvalidInputError) as caught:
        load_settings()
    assert caught.value.reason == "INVALID_SETTINGS"
    assert f"{name} is not a setting" in caught.value.message
    assert all(known in caught.value.message for known in known_names())


def test_misspelt_name_gets_the_near_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EUREKA_CHEKPOINT", "x")
    with pytest.raises(InvalidInputError, match="did you mean EUREKA_CHECKPOINT"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EUREKA_NUM_THREADS", "many"),
        ("EUREKA_NUM_THREADS", ""),
        ("EUREKA_NUM_THREADS", "0"),
        ("EUREKA_DTYPE", "float8"),
        ("EUREKA_MAX_ASK_AUDIO_SECONDS", "nan"),
        ("EUREKA_AUDIO__MAX_WALL_SECONDS", "inf"),
        ("EUREKA_AUDIO__SILENCE_DBFS", "3"),
    ],
)
def test_unreadable_value_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInputError, match=f"{name}: "):
        load_settings()


def test_all_problems_come_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EUREKA_NUM_THREADS", "many")
    monkeypatch.setenv("EUREKA_COLOUR", "blue")
    with pytest.raises(InvalidInputError) as caught:
        load_settings()
    assert "EUREKA_NUM_THREADS: " in caught.value.message
    assert "EUREKA_COLOUR is not a setting" in caught.value.message


def test_error_does_not_repeat_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EUREKA_NUM_THREADS", "hunter2")
    with pytest.raises(InvalidInputError) as caught:
        load_settings()
    assert "hunter2" not in caught.value.message


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load_settings().num_threads = 3


def test_every_field_says_what_it_means() -> None:
    lines = [*inspect.getsource(settings).splitlines(), *inspect.getsource(settings_sections).splitlines()]
    fields = [i for i, line in enumerate(lines) if line.startswith("    ") and " = Field(" in line]
    assert len(fields) > 50
    assert all(lines[i + 1].lstrip().startswith('"""') for i in fields)
