"""Opens the object store that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eureka.errors import InvalidInputError
from eureka.runtime.settings_sections import StorageSettings
from eureka.storage.local import LocalObjectStore
from eureka.storage.store import ObjectStore

if TYPE_CHECKING:
    from eureka.storage.s3_client import S3Config


def open_store(settings: StorageSettings) -> ObjectStore:
    """The store, tried: a bucket is there (or made), and its server lets the first writer win.

    Raises:
        InvalidInputError: reason INCOMPLETE_STORAGE; s3 without endpoint or credentials.
        WrongStateError: reason BUCKET_NOT_FOUND, STORE_DENIED, STORE_UNTRUSTED or CONDITIONAL_PUT_IGNORED.
        StageUnavailableError: reason STORE_UNAVAILABLE.
    """
    if settings.kind == "local":
        return LocalObjectStore(settings.folder)
    check_storage(settings)
    return _open_s3(settings)


def open_to_read(settings: StorageSettings) -> ObjectStore:
    """The store, untried: for who may only list and read.

    Raises:
        InvalidInputError: reason INCOMPLETE_STORAGE; s3 without endpoint or credentials.
    """
    if settings.kind == "local":
        return LocalObjectStore(settings.folder)
    check_storage(settings)
    from eureka.storage.s3 import S3ObjectStore  # here, so that a local store needs no S3 client

    return S3ObjectStore(_s3_config(settings))


def check_storage(settings: StorageSettings) -> None:
    """Refuse a store whose settings are not complete.

    Raises:
        InvalidInputError: reason INCOMPLETE_STORAGE; names what is missing.
    """
    needed = {
        "ENDPOINT": settings.endpoint,
        "ACCESS_KEY": settings.access_key,
        "SECRET_KEY": settings.secret_key.get_secret_value(),
    }
    missing = [f"EUREKA_STORAGE__{name}" for name, value in needed.items() if not value]
    if settings.kind == "s3" and missing:
        message = f"EUREKA_STORAGE__KIND=s3 needs {', '.join(missing)}"
        raise InvalidInputError(message, reason="INCOMPLETE_STORAGE")


def _open_s3(settings: StorageSettings) -> ObjectStore:
    # Here, so that a local store needs no S3 client.
    from eureka.storage.s3 import S3ObjectStore
    from eureka.storage.s3_bucket import Expiry, check_first_writer_wins, prepare_bucket

    config = _s3_config(settings)
    pairs = [pair.split("=") for pair in settings.expire_days.split(",") if pair]
    expiries = [Expiry(prefix, int(days)) for prefix, days in pairs]
    prepare_bucket(config, creates=settings.create_bucket, expiries=expiries)
    store = S3ObjectStore(config)
    check_first_writer_wins(store)
    return store


def _s3_config(settings: StorageSettings) -> S3Config:
    from eureka.storage.s3_client import S3Config

    return S3Config(
        endpoint=settings.endpoint,
        bucket=settings.bucket,
        access_key=settings.access_key,
        secret_key=settings.secret_key.get_secret_value(),
        region=settings.region,
        public_endpoint=settings.public_endpoint,
        public_region=settings.public_region,
        path_style=settings.path_style,
        ca_file=settings.ca_file,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        read_timeout_seconds=settings.read_timeout_seconds,
        max_attempts=settings.max_attempts,
    )
