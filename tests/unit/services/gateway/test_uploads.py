"""Uploads in a folder."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from eureka.api.v1 import audio_service_pb2 as api
from eureka.errors import EurekaError, NotFoundError, QueueFullError, StageUnavailableError
from services.gateway.uploads import UploadLimits, UploadStore, receive

LIMITS = UploadLimits(
    max_bytes=10, max_tenant_bytes=25, ttl_seconds=60.0, max_tenant_running=3, min_free_bytes=0
)


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> UploadStore:
    return UploadStore(tmp_path / "uploads", LIMITS, clock)


def keep(store: UploadStore, tenant: str, data: bytes = b"abc") -> str:
    with store.begin(tenant) as writer:
        writer.write(data)
        return writer.finish().name


def reason(store: UploadStore, tenant: str, name: str) -> str:
    with pytest.raises(NotFoundError) as caught:
        store.find(tenant, name)
    return caught.value.reason


def test_upload_is_found_by_its_tenant_only(store: UploadStore) -> None:
    name = keep(store, "a")

    assert store.find("a", name).read_bytes() == b"abc"
    assert reason(store, "b", name) == "UPLOAD_NOT_FOUND"


@pytest.mark.parametrize("name", ["", "uploads/", "uploads/../a", "../x", "uploads/" + "g" * 32, "x" * 9_999])
def test_names_that_are_none_are_not_found(store: UploadStore, name: str) -> None:
    keep(store, "a")
    assert reason(store, "a", name) == "UPLOAD_NOT_FOUND"


def test_upload_expires_and_is_swept(store: UploadStore, clock: Clock, tmp_path: Path) -> None:
    name = keep(store, "a")
    clock.ahead = 59.0
    assert store.sweep() == 0 and store.find("a", name)

    clock.ahead = 61.0
    assert reason(store, "a", name) == "UPLOAD_NOT_FOUND"
    assert store.sweep() == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_sweep_leaves_files_that_are_no_uploads(store: UploadStore, clock: Clock, tmp_path: Path) -> None:
    keep(store, "a")
    (tmp_path / "uploads" / "a" / "notes.txt").write_text("of somebody else")
    clock.ahead = 61.0

    assert store.sweep() == 1
    assert [path.name for path in tmp_path.glob("uploads/a/*")] == ["notes.txt"]


def test_file_that_cannot_be_deleted_keeps_no_other(store: UploadStore, clock: Clock, tmp_path: Path) -> None:
    keep(store, "a")
    (tmp_path / "uploads" / "a" / ("0" * 32)).mkdir()
    clock.ahead = 61.0

    assert store.sweep() == 1
    assert [path.name for path in tmp_path.glob("uploads/a/*")] == ["0" * 32]


def test_part_is_no_upload_and_goes_when_it_is_left(store: UploadStore, tmp_path: Path) -> None:
    with store.begin("a") as writer:
        writer.write(b"abc")
        (part,) = tmp_path.glob("uploads/a/*")
        assert part.suffix == ".part"
        assert reason(store, "a", f"uploads/{part.stem}") == "UPLOAD_NOT_FOUND"
    assert not list(tmp_path.glob("uploads/a/*"))


def test_others_cannot_read_the_folder(store: UploadStore, tmp_path: Path) -> None:
    keep(store, "a")
    assert (tmp_path / "uploads" / "a").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("chunks", "wanted"), [([b""], "EMPTY_AUDIO"), ([b"a" * 6] * 2, "UPLOAD_TOO_LARGE"), ([], "EMPTY_AUDIO")]
)
async def test_refused_upload_leaves_nothing(
    store: UploadStore, tmp_path: Path, chunks: list[bytes], wanted: str
) -> None:
    with pytest.raises(EurekaError) as caught:
        await receive(store, "a", _requests(chunks))

    assert caught.value.reason == wanted
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_received_upload_tells_size_and_end(store: UploadStore, clock: Clock) -> None:
    upload = await receive(store, "a", _requests([b"abcd", b"efg"]))

    assert upload.size_bytes == 7
    assert upload.expire_time.timestamp() == pytest.approx(clock() + 60.0, abs=5.0)
    assert store.find("a", upload.name).read_bytes() == b"abcdefg"


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("a file")
    store = UploadStore(tmp_path / "uploads", LIMITS)

    with pytest.raises(StageUnavailableError) as caught, store.begin("a"):
        pass
    assert caught.value.reason == "UPLOAD_NOT_STORED"
    assert os.strerror(errno.ENOTDIR) in caught.value.message


async def _requests(chunks: list[bytes]) -> AsyncIterator[api.UploadRequest]:
    yield api.UploadRequest(config=api.UploadConfig(display_name="a"))
    for chunk in chunks:
        yield api.UploadRequest(data=chunk)


def test_tenant_whose_uploads_fill_its_quota_waits_for_them_to_expire(
    store: UploadStore, clock: Clock
) -> None:
    for _ in range(3):
        keep(store, "a", b"12345678")
    with store.begin("a") as writer, pytest.raises(QueueFullError) as caught:
        writer.write(b"12")
    assert caught.value.reason == "UPLOAD_QUOTA" and "24 bytes" in caught.value.message

    keep(store, "b", b"12")
    clock.ahead = 61.0
    store.sweep()
    keep(store, "a", b"12")


def test_uploads_side_by_side_count_for_the_quota(store: UploadStore) -> None:
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(store.begin("a")) for _ in range(3)]
        for writer in writers[:2]:
            writer.write(b"1234567890")
        with pytest.raises(QueueFullError):
            writers[2].write(b"123456")


def test_tenant_that_sends_too_many_at_a_time_is_refused_until_one_ends(store: UploadStore) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(LIMITS.max_tenant_running):
            stack.enter_context(store.begin("a"))
        with pytest.raises(QueueFullError) as caught, store.begin("a"):
            pass
        keep(store, "b")
    assert caught.value.reason == "TOO_MANY_UPLOADS"
    keep(store, "a")


def test_upload_leaves_room_on_the_disk(tmp_path: Path) -> None:
    store = UploadStore(tmp_path, replace(LIMITS, min_free_bytes=1 << 60))
    with pytest.raises(QueueFullError) as caught:
        keep(store, "a")
    assert caught.value.reason == "SPOOL_FULL"
    assert not list(tmp_path.glob("a/*"))
