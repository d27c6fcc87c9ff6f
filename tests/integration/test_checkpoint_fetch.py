"""A checkpoint fetched from a real S3 server, and checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eureka.runtime import checkpoint_fetch
from eureka.runtime.checkpoint_fetch import fetch, folder_sha256
from eureka.runtime.settings_sections import StorageSettings
from eureka.runtime.storage import open_store, open_to_read
from eureka.storage.local import LocalObjectStore
from eureka.storage.store import ObjectStore
from tests.helpers.radosgw import S3Server

FILES = {"config.json": b"{}", "model.safetensors": os.urandom(3 << 20), "tokenizer.json": b"[]"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def fill(store: ObjectStore) -> None:
    for name, content in FILES.items():
        store.put(f"models/nano/{name}", content)
    store.put("models/nano/notes/draft.txt", b"no part of it")
    store.put("models/nano-2/config.json", b"another one")


def test_checksum_is_that_of_sha256sum(folder: Path) -> None:
    script = "cd $FOLDER && sha256sum * | sha256sum"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "FOLDER": str(folder)}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert folder_sha256(folder) == done.stdout.split()[0]


def test_checkpoint_comes_from_a_bucket_as_it_was(
    s3_server: S3Server, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "kind": "s3",
        "endpoint": s3_server.endpoint,
        "access_key": s3_server.access_key,
        "secret_key": s3_server.secret_key,
        "bucket": f"checkpoints-{os.getpid()}",
    }
    fill(open_store(StorageSettings.model_validate({**settings, "create_bucket": True})))
    for name, value in settings.items():
        monkeypatch.setenv(f"EUREKA_STORAGE__{name.upper()}", value)
    command = [str(tmp_path / "fetched"), "--prefix", "models/nano", "--sha256", folder_sha256(folder)]
    assert checkpoint_fetch.main(command) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "fetched").iterdir()} == FILES


def test_other_bytes_are_refused(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = folder_sha256(folder)
    (folder / "config.json").write_bytes(b"{} ")
    assert checkpoint_fetch.main([str(folder), "--sha256", wanted]) == 1
    assert "CHECKSUM_MISMATCH" in capsys.readouterr().err


def test_missing_checkpoint_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EUREKA_STORAGE__FOLDER", str(tmp_path / "store"))
    assert checkpoint_fetch.main([str(tmp_path / "to"), "--prefix", "nothing", "--sha256", "0" * 64]) == 1
    assert "CHECKPOINT_NOT_FOUND" in capsys.readouterr().err


def test_broken_off_fetch_is_begun_again(tmp_path: Path, folder: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    fill(store)
    target = tmp_path / "to"
    target.mkdir()
    (target / "config.json.partial").write_bytes(b"half of i")
    assert fetch(store, "models/nano/", target) == len(FILES)
    assert folder_sha256(target) == folder_sha256(folder)


def test_module_is_a_command() -> None:
    command = [sys.executable, "-m", "eureka.runtime.checkpoint_fetch", "--help"]
    assert "--sha256" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_reading_needs_no_right_to_write(tmp_path: Path) -> None:
    store = open_to_read(StorageSettings(folder=tmp_path / "store"))
    assert store.list_objects("").objects == ()
