"""How a local store lays out its folder: names of files, the footer of an object, durable steps.

The key a/b is the file `a/b~` below the root; "~" is in no key, so that a/b and a/b/c can both exist. The
content stands first in the file and a footer of fixed size last, so that content and metadata appear in one
rename. Files that are not finished lie in `~unfinished` and have no key.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from eureka.errors import DataLossError, NotFoundError, StageUnavailableError, WrongStateError
from eureka.storage.store import ObjectInfo, is_segment

MARK = "~"
"""Ends the name of an object's file; begins that of a folder of our own."""

UNFINISHED = "~unfinished"
"""Folder of files that are being written."""

FOOTER_BYTES = 320
"""Room for the mark, a media type of 100 letters, 64 hex digits and a size, with some to spare."""

_MAGIC = b"\neureka-object-1 "


@dataclass(frozen=True, slots=True)
class Footer:
    """What stands behind the content: its size, its sha256 in hex, its media type."""

    num_bytes: int
    sha256: str
    content_type: str

    @property
    def etag(self) -> str:
        """Changes with the content."""
        return self.sha256[:32]

    def to_bytes(self) -> bytes:
        """FOOTER_BYTES bytes."""
        fields = {"bytes": self.num_bytes, "sha256": self.sha256, "content_type": self.content_type}
        packed = _MAGIC + json.dumps(fields).encode("ascii")
        assert len(packed) < FOOTER_BYTES, "the media type is bounded"
        return packed.ljust(FOOTER_BYTES - 1) + b"\n"


def path_of(root: Path, key: str) -> Path:
    """The file of a checked key."""
    return root / f"{key}{MARK}"


def read_footer(descriptor: int, key: str) -> Footer:
    """The footer of an open file.

    Raises:
        DataLossError: reason CHECKSUM_MISMATCH; the file was cut or is no object.
    """
    size = os.fstat(descriptor).st_size
    packed = os.pread(descriptor, FOOTER_BYTES, max(0, size - FOOTER_BYTES))
    try:
        if not packed.startswith(_MAGIC):
            raise ValueError("no footer")
        fields = json.loads(packed[len(_MAGIC) :])
        footer = Footer(int(fields["bytes"]), str(fields["sha256"]), str(fields["content_type"]))
        if footer.num_bytes != size - FOOTER_BYTES:
            raise ValueError("another size")
    except (ValueError, KeyError, TypeError) as exc:
        message = f"the file of object {key!r} was cut or changed; put the object again"
        raise DataLossError(message, reason="CHECKSUM_MISMATCH") from exc
    return footer


def open_object(root: Path, key: str) -> int:
    """An open descriptor of the object's file.

    Raises:
        NotFoundError: reason OBJECT_NOT_FOUND.
    """
    try:
        descriptor = os.open(path_of(root, key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):  # the last is a link, none of ours
            raise
        raise NotFoundError(f"there is no object {key!r}", reason="OBJECT_NOT_FOUND") from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotFoundError(f"there is no object {key!r}", reason="OBJECT_NOT_FOUND")
    return descriptor


def listed_info(root: Path, key: str) -> ObjectInfo:
    """What a listing says of an object; also of one whose file was cut, so that it can be found and deleted.

    Raises:
        FileNotFoundError: it is gone.
    """
    with path_of(root, key).open("rb") as file:
        status = os.fstat(file.fileno())
        try:
            etag = read_footer(file.fileno(), key).etag
        except DataLossError:
            etag = ""
    modified_time = datetime.fromtimestamp(status.st_mtime, UTC)
    return ObjectInfo(key, max(0, status.st_size - FOOTER_BYTES), etag, modified_time)


def keys_below(root: Path, prefix: str, start_after: str) -> Iterator[str]:
    """Keys that begin with `prefix` and come after `start_after`, in the order of their UTF-8 bytes."""
    folder, _, begin = prefix.rpartition("/")
    yield from _keys_in(root, f"{folder}/" if folder else "", begin, start_after.encode())


def entries_of(root: Path, folder: str) -> list[str]:
    """Names in `folder` (empty, or with a slash), in the order of keys; those of folders end with a slash."""
    try:
        with os.scandir(root / folder) as found:
            names = [name for entry in found if (name := _key_part(entry))]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(names, key=str.encode)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, each durable in the one that holds it."""
    if folder.is_dir():
        return
    make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make what was renamed, linked or removed in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_empty_folders(root: Path, folder: Path) -> None:
    """Remove a folder and those above it, up to the root, as long as nothing is in them."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:  # in use again, or gone already
            return
        folder = folder.parent


@contextmanager
def translated_errors(doing: str) -> Iterator[None]:
    """The border of the file system: its errors become ours.

    Raises:
        WrongStateError: reason STORE_DENIED.
        StageUnavailableError: reason STORE_UNAVAILABLE.
    """
    try:
        yield
    except PermissionError as exc:
        message = f"{doing}: the file system refuses it ({exc.strerror}); check who owns the storage folder"
        raise WrongStateError(message, reason="STORE_DENIED") from exc
    except OSError as exc:
        message = f"{doing}: the storage folder is full or away ({exc.strerror})"
        raise StageUnavailableError(message, reason="STORE_UNAVAILABLE") from exc


def _keys_in(root: Path, folder: str, begin: str, start_after: bytes) -> Iterator[str]:
    for name in entries_of(root, folder):
        key = folder + name
        if not name.startswith(begin):
            continue
        if name.endswith("/"):
            if not _is_passed(key.encode(), start_after):
                yield from _keys_in(root, key, "", start_after)
        elif key.encode() > start_after:
            yield key


def _is_passed(folder: bytes, start_after: bytes) -> bool:
    """Whether every key below `folder` comes before `start_after`."""
    return start_after > folder and not start_after.startswith(folder)


def _key_part(entry: os.DirEntry[str]) -> str | None:
    """The object's name, or the folder's with a slash; None for what is neither."""
    is_folder = entry.is_dir(follow_symlinks=False)
    is_object = entry.name.endswith(MARK) and entry.is_file(follow_symlinks=False)
    name = entry.name if is_folder else entry.name[: -len(MARK)]
    if not (is_folder or is_object) or not is_segment(name):
        return None
    return f"{name}/" if is_folder else name
