"""What every object store does, held against a local folder and a real S3 server."""

from __future__ import annotations

import hashlib
import io
import os
import tracemalloc
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import av
import numpy as np
import pytest

from eureka.errors import EurekaError, InvalidInputError, NotFoundError
from eureka.storage.local import LocalObjectStore
from eureka.storage.s3 import S3ObjectStore
from eureka.storage.s3_bucket import prepare_bucket
from eureka.storage.s3_client import S3Config
from eureka.storage.store import ObjectStore
from tests.helpers.radosgw import S3Server
from tests.helpers.sounds import noise, wav_of

NUM_RACES, NUM_RACERS = 50, 2
MIB = 1 << 20

Opening = S3Config | Path
"""From what each process opens the same store."""


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> S3Config:
    config = S3Config(
        endpoint=s3_server.endpoint,
        bucket=f"tests-{uuid.uuid4().hex[:12]}",
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        part_bytes=5 * MIB,
    )
    prepare_bucket(config, creates=True)
    return config


@pytest.fixture(params=["local", "s3"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    if request.param == "local":
        return tmp_path / "store"
    found: S3Config = request.getfixturevalue("bucket")
    return found


@pytest.fixture
def store(opening: Opening) -> Iterator[ObjectStore]:
    store = _open(opening)
    yield store
    for folder in store.list_folders().folders:
        store.delete_prefix(folder)
    for found in store.list_objects().objects:
        store.delete(found.key)
    assert not store.list_objects().objects


def _open(opening: Opening) -> ObjectStore:
    return LocalObjectStore(opening) if isinstance(opening, Path) else S3ObjectStore(opening)


class _Pipe(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, 10_000) if size > 0 else size)


def test_put_object_comes_back_with_what_is_known_of_it(store: ObjectStore) -> None:
    put = store.put("a/b.json", b"{}", content_type="application/json")
    assert store.get("a/b.json") == b"{}"
    assert store.stat("a/b.json") == put
    assert (put.key, put.num_bytes, put.content_type) == ("a/b.json", 2, "application/json")
    assert put.sha256 == hashlib.sha256(b"{}").hexdigest()
    assert abs(put.modified_time - datetime.now(UTC)) < timedelta(seconds=60)


def test_second_put_replaces_and_changes_the_etag(store: ObjectStore) -> None:
    first, second = store.put("a", b"first"), store.put("a", b"second")
    assert store.get("a") == b"second" and first.etag != second.etag


@pytest.mark.parametrize("num_bytes", [0, 1, 5 * MIB, 12 * MIB + 17])
@pytest.mark.parametrize("kind", ["bytes", "seekable", "pipe"])
def test_content_of_any_size_and_kind_comes_back(store: ObjectStore, num_bytes: int, kind: str) -> None:
    content = os.urandom(num_bytes)
    streams = {"bytes": content, "seekable": io.BytesIO(content), "pipe": _Pipe(content)}
    put = store.put("large", streams[kind])  # type: ignore[arg-type]
    assert put.num_bytes == num_bytes and put.sha256 == hashlib.sha256(content).hexdigest()
    assert store.get("large") == content


def test_stream_is_put_from_where_it_stands(store: ObjectStore) -> None:
    stream = io.BytesIO(b"head and tail")
    stream.seek(9)
    store.put("a", stream)
    assert store.get("a") == b"tail"


def test_second_put_if_absent_is_refused(store: ObjectStore) -> None:
    assert store.put_if_absent("a", b"first", content_type="text/plain")
    assert not store.put_if_absent("a", b"second")
    assert store.get("a") == b"first" and store.stat("a").content_type == "text/plain"
    assert store.stat("a").sha256 == hashlib.sha256(b"first").hexdigest()


def test_put_if_absent_works_again_after_a_delete(store: ObjectStore) -> None:
    assert store.put_if_absent("a", b"first")
    store.delete("a")
    assert store.put_if_absent("a", b"second") and store.get("a") == b"second"


def test_large_put_if_absent_is_refused_as_well(store: ObjectStore) -> None:
    first, second = os.urandom(6 * MIB), os.urandom(6 * MIB)
    assert store.put_if_absent("a", first) and not store.put_if_absent("a", second)
    assert store.get("a") == first


def test_of_racing_processes_exactly_one_writes(opening: Opening, store: ObjectStore) -> None:
    context = get_context("spawn")
    barrier, wins = context.Barrier(NUM_RACERS), context.Queue()
    racers = [
        context.Process(target=_race, args=(opening, barrier, wins, number)) for number in range(NUM_RACERS)
    ]
    for racer in racers:
        racer.start()
    won = [wins.get(timeout=60) for _ in range(NUM_RACERS)]
    for racer in racers:
        racer.join()
    for number in range(NUM_RACES):
        winners = [racer for racer, rounds in won if number in rounds]
        assert len(winners) == 1, f"round {number} was won by {winners}"
        assert store.get(f"race/{number}") == str(winners[0]).encode()


def _race(opening: Opening, barrier: Barrier, wins: object, racer: int) -> None:
    store = _open(opening)
    won = []
    for number in range(NUM_RACES):
        barrier.wait(timeout=60)
        if store.put_if_absent(f"race/{number}", str(racer).encode()):
            won.append(number)
    wins.put((racer, won))  # type: ignore[attr-defined]


def test_many_threads_share_a_store(store: ObjectStore) -> None:
    def put_and_get(number: int) -> bytes:
        store.put(f"threads/{number}", str(number).encode())
        return store.get(f"threads/{number}")

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(put_and_get, range(100)))
    assert found == [str(number).encode() for number in range(100)]
    assert len(store.list_objects("threads/").objects) == 100


@pytest.mark.parametrize("call", ["get", "open", "stat"])
def test_missing_object_is_not_found(store: ObjectStore, call: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        getattr(store, call)("not/there")
    assert caught.value.reason == "OBJECT_NOT_FOUND"
    assert not store.exists("not/there")


def test_copy_of_a_missing_object_is_not_found(store: ObjectStore) -> None:
    with pytest.raises(NotFoundError):
        store.copy("not/there", "b")


def test_copy_has_content_type_and_sha256(store: ObjectStore) -> None:
    store.put("a", b"content", content_type="audio/wav")
    copied = store.copy("a", "b/c")
    assert store.get("b/c") == b"content" and store.get("a") == b"content"
    assert (copied.key, copied.content_type) == ("b/c", "audio/wav")
    assert copied.sha256 == hashlib.sha256(b"content").hexdigest()
    assert store.copy("a", "a").num_bytes == 7


def test_delete_removes_and_forgives(store: ObjectStore) -> None:
    store.put("a", b"")
    store.put("a.b", b"")
    store.delete("a")
    store.delete("a")
    assert not store.exists("a") and store.exists("a.b")


def test_delete_prefix_removes_one_folder_only(store: ObjectStore) -> None:
    for key in ("jobs/1/a", "jobs/1/b/c", "jobs/10/a", "jobs/1"):
        store.put(key, b"")
    assert store.delete_prefix("jobs/1/") == 2
    assert store.delete_prefix("jobs/1/") == 0
    assert [found.key for found in store.list_objects().objects] == ["jobs/1", "jobs/10/a"]


def test_prefix_without_a_slash_is_not_deleted(store: ObjectStore) -> None:
    for prefix in ("", "jobs"):
        with pytest.raises(InvalidInputError):
            store.delete_prefix(prefix)


KEYS = ["a", "a b+c&d=e", "a!", "a-b", "a/b", "a/b/c", "a/d", "a0", "b/ß", "b/é/音声", "b/🎧", "c"]
PREFIXES = ["", "a", "a/", "a/b", "b/é/", "nothing", "nothing/at/all"]


def test_listing_is_in_the_order_of_bytes_whatever_the_page(store: ObjectStore) -> None:
    for key in KEYS:
        store.put(key, key.encode())
    expected = sorted(KEYS, key=str.encode)
    for limit in (1, 2, 5, len(KEYS), 1_000):
        assert _all_keys(store, "", limit) == expected
    assert _all_keys(store, "b/", 1) == [key for key in expected if key.startswith("b/")]
    assert [store.get(key) for key in KEYS] == [key.encode() for key in KEYS]


def test_listing_is_what_a_filter_finds(store: ObjectStore) -> None:
    for key in KEYS:
        store.put(key, b"")
    for prefix, start_after in product(PREFIXES, ["", "a", "a!", "a/b", "a/zzz", "b/ß", "zzz"]):
        found = store.list_objects(prefix, start_after=start_after).objects
        expected = [k for k in KEYS if k.startswith(prefix) and k.encode() > start_after.encode()]
        assert [one.key for one in found] == sorted(expected, key=str.encode), (prefix, start_after)


def test_listing_says_size_etag_and_time(store: ObjectStore) -> None:
    put = store.put("a", b"123")
    (found,) = store.list_objects().objects
    assert (found.num_bytes, found.etag, found.sha256) == (3, put.etag, None)
    assert abs(found.modified_time - put.modified_time) < timedelta(seconds=2)


def test_pages_stay_right_while_objects_come_and_go(store: ObjectStore) -> None:
    for number in range(10):
        store.put(f"{number}", b"")
    page = store.list_objects(limit=5)
    store.delete("2")
    store.delete(page.next_start_after or "")
    store.put("45", b"")
    rest = store.list_objects(start_after=page.next_start_after or "")
    assert [found.key for found in rest.objects] == ["45", "5", "6", "7", "8", "9"]
    assert rest.next_start_after is None


def test_folders_are_listed_once_and_in_pages(store: ObjectStore) -> None:
    for number in range(5):
        for name in ("spec.json", "windows/1", "windows/2"):
            store.put(f"t/jobs/{number}/{name}", b"")
    store.put("t/jobs/file", b"")
    store.put("t/jobs-else/1/spec.json", b"")
    found, start_after = [], ""
    while True:
        page = store.list_folders("t/jobs/", start_after=start_after, limit=2)
        found += page.folders
        if page.next_start_after is None:
            break
        start_after = page.next_start_after
    assert found == [f"t/jobs/{number}/" for number in range(5)]
    assert store.list_folders().folders == ("t/",)
    assert store.list_folders("t/none/").folders == ()


PATHS = ["", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "ab/" * 400 + "c"]
NAMES = ["a\0b", "a\nb", "a\\b", "~unfinished/a", "a~", "a" * 201, "\ud800"]


@pytest.mark.parametrize("key", PATHS + NAMES)
def test_key_that_no_store_takes_is_refused(store: ObjectStore, key: str) -> None:
    calls = [
        lambda: store.put(key, b""),
        lambda: store.put_if_absent(key, b""),
        lambda: store.get(key),
        lambda: store.open(key),
        lambda: store.stat(key),
        lambda: store.delete(key),
        lambda: store.copy(key, "b"),
        lambda: store.copy("b", key),
    ]
    for call in calls:
        with pytest.raises(EurekaError) as caught:
            call()
        assert caught.value.reason in ("INVALID_KEY", "OBJECT_NOT_FOUND")
    with pytest.raises(InvalidInputError):
        store.put(key, b"")


@pytest.mark.parametrize("prefix", ["..", "../", "a/../", "/"])
def test_prefix_that_leaves_the_store_is_refused(store: ObjectStore, prefix: str) -> None:
    if prefix != "..":
        with pytest.raises(InvalidInputError):
            store.list_objects(prefix)
    with pytest.raises(InvalidInputError):
        store.list_folders(prefix)
    with pytest.raises(InvalidInputError):
        store.delete_prefix(prefix)


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_page_of_a_wrong_size_is_refused(store: ObjectStore, limit: int) -> None:
    with pytest.raises(InvalidInputError):
        store.list_objects(limit=limit)


@pytest.mark.parametrize("content_type", ["", "wav", "audio/wav\r\nx-evil: 1", "a/" + "b" * 100])
def test_content_type_that_is_none_is_refused(store: ObjectStore, content_type: str) -> None:
    with pytest.raises(InvalidInputError):
        store.put("a", b"", content_type=content_type)


def test_longest_key_is_taken(store: ObjectStore) -> None:
    key = "/".join(["a" * 200] * 5) + "/" + "b" * 19
    assert len(key) == 1_024
    store.put(key, b"long")
    assert store.get(key) == b"long" and store.list_objects().objects[0].key == key


def test_reader_seeks_and_reads_as_a_file(store: ObjectStore) -> None:
    content = os.urandom(3 * MIB + 11)
    store.put("a", content)
    random = np.random.default_rng(0)
    with store.open("a") as reader:
        for _ in range(100):
            start, count = int(random.integers(0, len(content))), int(random.integers(0, 200_000))
            assert reader.seek(start) == start
            assert reader.read(count) == content[start : start + count]
        assert reader.seek(0, os.SEEK_END) == len(content) and reader.read(10) == b""
        assert reader.seek(-5, os.SEEK_CUR) == len(content) - 5 and reader.read() == content[-5:]
        reader.seek(len(content) + 100)
        assert reader.read(1) == b""
        reader.seek(0)
        assert reader.read() == content
        with pytest.raises((ValueError, OSError)):
            reader.seek(-1)


def test_reader_of_nothing_reads_nothing(store: ObjectStore) -> None:
    store.put("a", b"")
    with store.open("a") as reader:
        assert reader.read() == b""


def test_pyav_decodes_from_a_reader(store: ObjectStore) -> None:
    pcm = noise(60.0)
    store.put("audio", wav_of(pcm))
    with store.open("audio") as reader, av.open(reader) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == len(pcm)


def test_reader_holds_few_blocks_of_a_large_object(store: ObjectStore) -> None:
    store.put("a", bytes(48 * MIB))
    tracemalloc.start()
    try:
        with store.open("a") as reader:
            while reader.read(100_000):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * MIB


def test_large_put_holds_few_parts(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(64 * MIB))
    tracemalloc.start()
    try:
        with path.open("rb") as stream:
            store.put("a", stream)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * MIB


def _all_keys(store: ObjectStore, prefix: str, limit: int) -> list[str]:
    keys: list[str] = []
    start_after: str | None = ""
    while start_after is not None:
        page = store.list_objects(prefix, start_after=start_after, limit=limit)
        assert len(page.objects) <= limit
        keys += [found.key for found in page.objects]
        start_after = page.next_start_after
    return keys
