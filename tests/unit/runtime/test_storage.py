from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from eureka.errors import InvalidInputError
from eureka.runtime.settings import load_settings
from eureka.runtime.settings_sections import StorageSettings
from eureka.runtime.storage import open_store
from eureka.storage.local import LocalObjectStore


def test_local_store_is_the_default(tmp_path: Path) -> None:
    store = open_store(StorageSettings(folder=tmp_path / "objects"))
    assert isinstance(store, LocalObjectStore) and store.put_if_absent("a", b"")


def test_s3_without_credentials_names_what_is_missing() -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_store(StorageSettings(kind="s3", access_key="id"))
    assert caught.value.reason == "INCOMPLETE_STORAGE"
    assert "EUREKA_STORAGE__ENDPOINT, EUREKA_STORAGE__SECRET_KEY" in caught.value.message


def test_section_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EUREKA_STORAGE__KIND", "s3")
    monkeypatch.setenv("EUREKA_STORAGE__ENDPOINT", "https://objects.example:9000")
    monkeypatch.setenv("EUREKA_STORAGE__SECRET_KEY", "hidden")
    monkeypatch.setenv("EUREKA_STORAGE__EXPIRE_DAYS", "uploads/=7,events/=30")
    storage = load_settings().storage
    assert storage.kind == "s3" and storage.expire_days == "uploads/=7,events/=30"
    assert storage.secret_key.get_secret_value() == "hidden" and "hidden" not in repr(storage)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENDPOINT", "objects.example:9000"),
        ("ENDPOINT", "https://id:secret@objects.example"),
        ("ENDPOINT", "https://objects.example/path"),
        ("BUCKET", "Upper_Case"),
        ("EXPIRE_DAYS", "uploads/=0"),
        ("EXPIRE_DAYS", "uploads/=7,"),
        ("EXPIRE_DAYS", "uploads/"),
        ("MAX_ATTEMPTS", "0"),
    ],
)
def test_value_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"EUREKA_STORAGE__{name}", value)
    with pytest.raises(InvalidInputError, match=f"EUREKA_STORAGE__{name}"):
        load_settings()


def test_secret_is_not_in_the_configuration_of_the_client() -> None:
    from eureka.storage.s3_client import S3Config

    secret = SecretStr("hidden").get_secret_value()
    assert "hidden" not in repr(S3Config("http://127.0.0.1:9000", "bucket", "id", secret))
