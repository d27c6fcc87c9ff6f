from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from eureka.errors import DataLossError, NotFoundError, WrongStateError
from eureka.storage.local import LocalObjectStore
from eureka.storage.local_files import FOOTER_BYTES, UNFINISHED, path_of

SLOW_WRITER = """
import sys, time
from pathlib import Path
from eureka.storage.local import LocalObjectStore

class Slow:
    def read(self, num_bytes):
        print("piece", flush=True)
        time.sleep(0.02)
        return b"x" * num_bytes

LocalObjectStore(Path(sys.argv[1])).put("killed", Slow())
"""


LIMITED_WRITER = """
import resource, sys
from pathlib import Path
from eureka.errors import StageUnavailableError
from eureka.storage.local import LocalObjectStore

store = LocalObjectStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store.put("a", bytes(1_000_000))
except StageUnavailableError as error:
    print(error.reason)
"""


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


def test_key_and_a_folder_of_the_same_name_stand_beside_each_other(store: LocalObjectStore) -> None:
    for key in ("a/b/c", "a/b", "a-b", "a", "a/b.txt"):
        store.put(key, key.encode())
    assert [found.key for found in store.list_objects().objects] == ["a", "a-b", "a/b", "a/b.txt", "a/b/c"]
    assert store.get("a/b") == b"a/b"


def test_killed_writer_leaves_no_object(store: LocalObjectStore, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_WRITER, str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(3):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
    assert list((tmp_path / "store" / UNFINISHED).iterdir()), "it was killed midway"
    assert store.list_objects().objects == () and not store.exists("killed")


def test_what_a_killed_writer_left_is_removed_after_a_day(store: LocalObjectStore, tmp_path: Path) -> None:
    old, new = (tmp_path / "store" / UNFINISHED / name for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    LocalObjectStore(tmp_path / "store")
    assert not old.exists() and new.exists()


def test_put_that_fails_leaves_the_older_object(store: LocalObjectStore, tmp_path: Path) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ValueError("the stream broke")

    store.put("a", b"older")
    with pytest.raises(ValueError, match="the stream broke"):
        store.put("a", Broken())  # type: ignore[arg-type]
    assert store.get("a") == b"older" and not list((tmp_path / "store" / UNFINISHED).iterdir())


def test_disk_without_room_is_unavailable_and_keeps_what_was(store: LocalObjectStore, tmp_path: Path) -> None:
    store.put("a", b"older")
    command = [sys.executable, "-c", LIMITED_WRITER, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "STORE_UNAVAILABLE\n", done.stderr
    assert store.get("a") == b"older" and not list((tmp_path / "store" / UNFINISHED).iterdir())


@pytest.mark.parametrize("num_bytes_left", [0, 1, 100, FOOTER_BYTES, FOOTER_BYTES + 5])
def test_cut_file_is_found_out_and_can_be_deleted(
    store: LocalObjectStore, tmp_path: Path, num_bytes_left: int
) -> None:
    store.put("a/cut", bytes(range(256)) * 4)
    os.truncate(path_of(tmp_path / "store", "a/cut"), num_bytes_left)
    for read in (store.get, store.open, store.stat):
        with pytest.raises(DataLossError) as caught:
            read("a/cut")
        assert caught.value.reason == "CHECKSUM_MISMATCH"
    assert [found.key for found in store.list_objects().objects] == ["a/cut"]
    assert store.delete_prefix("a/") == 1 and store.list_objects().objects == ()


def test_changed_byte_is_found_out(store: LocalObjectStore, tmp_path: Path) -> None:
    store.put("a", b"content")
    with path_of(tmp_path / "store", "a").open("r+b") as file:
        file.write(b"C")
    with pytest.raises(DataLossError):
        store.get("a")


def test_foreign_files_are_no_objects(store: LocalObjectStore, tmp_path: Path) -> None:
    root = tmp_path / "store"
    (root / "notes.txt").write_text("mine")
    (root / "link~").symlink_to("notes.txt")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff~")).write_bytes(b"")
    os.mkfifo(root / "pipe~")
    assert store.list_objects().objects == () and not store.exists("pipe") and not store.exists("notes.txt")


def test_symbolic_link_is_never_followed(store: LocalObjectStore, tmp_path: Path) -> None:
    (tmp_path / "store" / "link~").symlink_to("/etc/hostname")
    with pytest.raises(NotFoundError):
        store.get("link")


@pytest.mark.parametrize("presign", ["presign_put", "presign_get"])
def test_links_are_not_there(store: LocalObjectStore, presign: str) -> None:
    with pytest.raises(WrongStateError) as caught:
        getattr(store, presign)("a", 60)
    assert caught.value.reason == "PRESIGN_UNAVAILABLE"


def test_empty_folders_go_with_their_last_object(store: LocalObjectStore, tmp_path: Path) -> None:
    store.put("a/b/c/d", b"")
    store.delete("a/b/c/d")
    assert [path.name for path in (tmp_path / "store").iterdir()] == [UNFINISHED]


def test_deleting_beside_putting_loses_nothing(store: LocalObjectStore, tmp_path: Path) -> None:
    with get_context("spawn").Pool(1) as pool:
        churn = pool.apply_async(_churn, (tmp_path / "store", 100))
        for number in range(100):
            store.put(f"a/b/{number % 2}", b"mine")
            assert store.get(f"a/b/{number % 2}") == b"mine"
            store.delete(f"a/b/{number % 2}")
        churn.get(timeout=60)


def _churn(root: Path, num_times: int) -> None:
    store = LocalObjectStore(root)
    for _ in range(num_times):
        store.put("a/b/other", b"")
        store.delete("a/b/other")
