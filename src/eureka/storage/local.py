"""An object store in a local folder, for one machine: whole objects or none, even after kills."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from eureka.errors import DataLossError, NotFoundError, StageUnavailableError, WrongStateError
from eureka.storage import local_files, store
from eureka.storage.local_files import Footer, translated_errors
from eureka.storage.local_reader import LocalReader
from eureka.storage.store import DEFAULT_CONTENT_TYPE, MAX_PAGE, FolderPage, ObjectInfo, ObjectPage

PIECE_BYTES = 1 << 20
"""Bytes that are copied, or read ahead, at a time."""

UNFINISHED_SECONDS = 86_400.0
"""Age after which a file that nobody writes to any more is left over from a killed process (a day)."""

MAX_ATTEMPTS = 50
"""Times that a folder may vanish between its making and its use, because others remove empty ones."""


class LocalObjectStore:
    """Objects as files below a folder; any number of processes and threads may use it at a time.

    An object is written to a file aside, synced, and then renamed to its place, or linked there where none
    may exist. So listings hold whole objects only, and of many conditional writers the file system lets one
    win.
    Methods are those of `ObjectStore`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unfinished = root / local_files.UNFINISHED
        with translated_errors(f"opening the store at {root}"):
            local_files.make_folders(self._unfinished)
            _sweep(self._unfinished)

    def put(
        self, key: str, content: bytes | BinaryIO, *, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectInfo:
        """Write an object; an older one is replaced."""
        with translated_errors(f"putting {key[:80]!r}"):
            return self._write(key, content, content_type, os.replace)

    def put_if_absent(self, key: str, content: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE) -> bool:
        """Write an object unless there is one; whether it was written."""
        with translated_errors(f"putting {key[:80]!r}"):
            try:
                self._write(key, content, content_type, os.link)
            except FileExistsError:
                return False
        return True

    def get(self, key: str) -> bytes:
        """The whole content, checked."""
        with translated_errors(f"getting {key[:80]!r}"), self._open(key) as reader:
            content = reader.readall()
        if hashlib.sha256(content).hexdigest() != reader.footer.sha256:
            message = f"object {key!r} is not what was put: its sha256 differs; put it again"
            raise DataLossError(message, reason="CHECKSUM_MISMATCH")
        return content

    def open(self, key: str) -> BinaryIO:
        """A seekable reader; an object that is replaced meanwhile is read on as it was."""
        with translated_errors(f"opening {key[:80]!r}"):
            return io.BufferedReader(self._open(key), buffer_size=PIECE_BYTES)

    def stat(self, key: str) -> ObjectInfo:
        """What is known of the object."""
        with translated_errors(f"looking at {key[:80]!r}"), self._open(key) as reader:
            return _info(key, reader.footer, reader.modified_seconds)

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self.stat(key)
        except NotFoundError:
            return False
        return True

    def list_objects(self, prefix: str = "", *, start_after: str = "", limit: int = MAX_PAGE) -> ObjectPage:
        """A page of objects in the order of their keys."""
        store.check_page(prefix, start_after, limit)
        with translated_errors(f"listing {prefix[:80]!r}"):
            return store.object_page(self._listed(prefix, start_after), limit)

    def list_folders(self, prefix: str = "", *, start_after: str = "", limit: int = MAX_PAGE) -> FolderPage:
        """A page of folders directly below `prefix`."""
        store.check_page(store.check_parent(prefix), start_after, limit)
        with translated_errors(f"listing {prefix[:80]!r}"):
            return store.folder_page(self._folders(prefix, start_after), limit)

    def delete(self, key: str) -> None:
        """Remove the object, if there is one."""
        path = local_files.path_of(self._root, store.check_key(key))
        with translated_errors(f"deleting {key[:80]!r}"):
            self._remove([path])

    def delete_prefix(self, prefix: str) -> int:
        """Remove all objects below a folder; their number."""
        store.check_folder(prefix)
        with translated_errors(f"deleting {prefix[:80]!r}"):
            keys = local_files.keys_below(self._root, prefix, "")
            return self._remove(local_files.path_of(self._root, key) for key in keys)

    def copy(self, source: str, target: str) -> ObjectInfo:
        """Put the content of `source` under `target`."""
        with translated_errors(f"copying {source[:80]!r}"), self._open(source) as reader:
            content_type = reader.footer.content_type
            return self._write(target, io.BufferedReader(reader), content_type, os.replace)

    def presign_put(self, key: str, expires_seconds: int) -> str:
        """Nothing: files have no links.

        Raises:
            WrongStateError: reason PRESIGN_UNAVAILABLE.
        """
        raise _no_link(key)

    def presign_get(self, key: str, expires_seconds: int) -> str:
        """Nothing: files have no links.

        Raises:
            WrongStateError: reason PRESIGN_UNAVAILABLE.
        """
        raise _no_link(key)

    def _open(self, key: str) -> LocalReader:
        descriptor = local_files.open_object(self._root, store.check_key(key))
        try:
            return LocalReader(descriptor, local_files.read_footer(descriptor, key))
        except BaseException:
            os.close(descriptor)
            raise

    def _write(
        self, key: str, content: bytes | BinaryIO, content_type: str, place: Callable[[Path, Path], None]
    ) -> ObjectInfo:
        """Write aside, then `place` the file; `place` may find one there and raise FileExistsError."""
        target = local_files.path_of(self._root, store.check_key(key))
        unfinished = self._unfinished / secrets.token_hex(16)
        stream = io.BytesIO(content) if isinstance(content, bytes) else content
        try:
            footer = _write_whole(unfinished, stream, store.check_content_type(content_type))
            modified_seconds = unfinished.stat().st_mtime
            _place(unfinished, target, place)
        finally:
            unfinished.unlink(missing_ok=True)
        return _info(key, footer, modified_seconds)

    def _listed(self, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        for key in local_files.keys_below(self._root, prefix, start_after):
            with suppress(FileNotFoundError):  # deleted since
                yield local_files.listed_info(self._root, key)

    def _folders(self, prefix: str, start_after: str) -> Iterator[str]:
        passed = store.past_folder(start_after).encode()
        for name in local_files.entries_of(self._root, prefix):
            folder = prefix + name
            if name.endswith("/") and folder.encode() > passed and self._holds_any(folder):
                yield folder

    def _holds_any(self, folder: str) -> bool:
        return next(local_files.keys_below(self._root, folder, ""), None) is not None

    def _remove(self, paths: Iterator[Path] | list[Path]) -> int:
        num_removed, folders = 0, set()
        for path in paths:
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
                num_removed += 1
                folders.add(path.parent)
        for folder in folders:
            with suppress(FileNotFoundError):
                local_files.sync_folder(folder)
            local_files.remove_empty_folders(self._root, folder)
        return num_removed


def _write_whole(path: Path, stream: BinaryIO, content_type: str) -> Footer:
    """Write the content with its footer to a new file, durably."""
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("xb") as file:
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
            num_bytes += file.write(piece)
        footer = Footer(num_bytes, digest.hexdigest(), content_type)
        file.write(footer.to_bytes())
        file.flush()
        os.fsync(file.fileno())
    return footer


def _place(unfinished: Path, target: Path, place: Callable[[Path, Path], None]) -> None:
    for _ in range(MAX_ATTEMPTS):
        try:
            local_files.make_folders(target.parent)
            place(unfinished, target)
        except FileNotFoundError:  # somebody removed the folder, which was empty
            continue
        with suppress(FileNotFoundError):  # somebody deleted the object already
            local_files.sync_folder(target.parent)
        return
    message = (
        f"the folder of {target.name} vanished {MAX_ATTEMPTS} times; is the storage folder being removed?"
    )
    raise StageUnavailableError(message, reason="STORE_UNAVAILABLE")


def _sweep(unfinished: Path) -> None:
    """Remove what killed processes left."""
    for path in unfinished.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - UNFINISHED_SECONDS:
                path.unlink()


def _info(key: str, footer: Footer, modified_seconds: float) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        num_bytes=footer.num_bytes,
        etag=footer.etag,
        modified_time=datetime.fromtimestamp(modified_seconds, UTC),
        sha256=footer.sha256,
        content_type=footer.content_type,
    )


def _no_link(key: str) -> WrongStateError:
    message = f"a local store makes no link to {key[:80]!r}; send the bytes, or set EUREKA_STORAGE__KIND=s3"
    return WrongStateError(message, reason="PRESIGN_UNAVAILABLE")
