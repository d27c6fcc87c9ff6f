"""The interface of an object store, its values, and what a key may look like.

    put, put_if_absent, copy      write whole objects; nobody ever sees half of one
    get, open                     read whole and checked, or in parts with constant memory
    stat, exists                  what is known of an object
    list_objects, list_folders    page by page in the order of the keys' UTF-8 bytes
    delete, delete_prefix         remove, all versions included
    presign_put, presign_get      links for those who hold no credentials

Errors of every store, by reason word:

    INVALID_KEY          InvalidInputError      a key or prefix that no store takes
    OBJECT_NOT_FOUND     NotFoundError          there is no such object
    CHECKSUM_MISMATCH    DataLossError          the bytes are not those that were put
    OBJECT_CHANGED       WrongStateError        the object was replaced while it was read
    PRESIGN_UNAVAILABLE  WrongStateError        this store makes no links
    STORE_DENIED         WrongStateError        the store refuses our credentials or rights
    STORE_UNAVAILABLE    StageUnavailableError  the store is away or full; try again
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import BinaryIO, Protocol

from eureka.errors import InvalidInputError

MAX_KEY_BYTES = 1_024
"""Bytes of a key in UTF-8, the limit of S3."""

MAX_SEGMENT_BYTES = 200
"""Bytes between two slashes: a file name holds 255, and a local store adds a mark."""

MAX_CONTENT_TYPE_LETTERS = 100
"""Letters of a media type with its parameters."""

MAX_PAGE = 1_000
"""Objects of one page, the limit of S3."""

DEFAULT_CONTENT_TYPE = "application/octet-stream"
"""Media type of bytes that nobody described."""

_AVOIDED = re.compile(r"""[\x00-\x1f\x7f-\x9f\\{}^%`\[\]"<>~#|]""")
"""Control characters, and those that S3's naming rules advise against; "~" is for local stores."""

_CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( ?;[ -~]*)?")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object.

    Attributes:
        key: its name in the store.
        num_bytes: size.
        etag: changes when the content does; compare it, read nothing from it.
        modified_time: when it was put, in UTC.
        sha256: of the content, hex; None in listings, and where a stranger put the object.
        content_type: media type; empty in listings.
    """

    key: str
    num_bytes: int
    etag: str
    modified_time: datetime
    sha256: str | None = None
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """A page of a listing; `next_start_after` goes into the next call, None on the last page."""

    objects: tuple[ObjectInfo, ...]
    next_start_after: str | None


@dataclass(frozen=True, slots=True)
class FolderPage:
    """A page of folders, each with its whole prefix and a slash at the end; as `ObjectPage`."""

    folders: tuple[str, ...]
    next_start_after: str | None


class ObjectStore(Protocol):
    """Named bytes with their sha256, safe for threads; the module says which errors every store raises."""

    def put(
        self, key: str, content: bytes | BinaryIO, *, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectInfo:
        """Write an object, whole and durable at return; an older one is replaced.

        Args:
            key: its name.
            content: bytes, or a stream that is read to its end in pieces.
            content_type: media type, kept beside it.
        """
        ...

    def put_if_absent(self, key: str, content: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE) -> bool:
        """Write an object unless one of that name exists; of many writers exactly one gets True."""
        ...

    def get(self, key: str) -> bytes:
        """The whole content, its sha256 checked; for objects that fit memory."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A seekable reader over parts of the object, with constant memory; its sha256 is not checked."""
        ...

    def stat(self, key: str) -> ObjectInfo:
        """What is known of the object."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        ...

    def list_objects(self, prefix: str = "", *, start_after: str = "", limit: int = MAX_PAGE) -> ObjectPage:
        """Objects whose keys begin with `prefix` and come after `start_after`, in order; at most `limit`."""
        ...

    def list_folders(self, prefix: str = "", *, start_after: str = "", limit: int = MAX_PAGE) -> FolderPage:
        """What keys hold between `prefix` and the next slash, each once and in order.

        Args:
            prefix: empty, or ends with a slash.
            start_after: a folder of the page before.
            limit: at most so many.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove the object with all its versions; one that is not there is no error."""
        ...

    def delete_prefix(self, prefix: str) -> int:
        """Remove all objects below `prefix`, which ends with a slash, all versions included; their number."""
        ...

    def copy(self, source: str, target: str) -> ObjectInfo:
        """Put the content of `source` under `target`, with its type and sha256."""
        ...

    def presign_put(self, key: str, expires_seconds: int) -> str:
        """A link by which anybody can put this one object until it expires."""
        ...

    def presign_get(self, key: str, expires_seconds: int) -> str:
        """A link by which anybody can read this one object until it expires."""
        ...


def check_key(key: str) -> str:
    """The key, if every store takes it.

    Raises:
        InvalidInputError: reason INVALID_KEY.
    """
    if not key:
        raise _invalid(key, "it is empty")
    _check_text(key)
    _check_segments(key, key.split("/"))
    return key


def is_segment(name: str) -> bool:
    """Whether the name can stand between two slashes of a key."""
    try:
        return "/" not in check_key(name)
    except InvalidInputError:
        return False


def check_prefix(prefix: str) -> str:
    """The prefix of a listing, if keys can begin with it; it may be empty and end inside a segment.

    Raises:
        InvalidInputError: reason INVALID_KEY.
    """
    _check_text(prefix)
    _check_segments(prefix, prefix.split("/")[:-1])
    return prefix


def check_folder(prefix: str) -> str:
    """A prefix that ends with a slash: so "jobs/1" never means "jobs/10", too.

    Raises:
        InvalidInputError: reason INVALID_KEY.
    """
    if not prefix.endswith("/"):
        raise _invalid(prefix, "a folder ends with a slash")
    return check_prefix(prefix)


def check_content_type(content_type: str) -> str:
    """The media type, if it is one.

    Raises:
        InvalidInputError: reason INVALID_CONTENT_TYPE.
    """
    if len(content_type) <= MAX_CONTENT_TYPE_LETTERS and _CONTENT_TYPE.fullmatch(content_type):
        return content_type
    message = f"{content_type[:MAX_CONTENT_TYPE_LETTERS]!r} is no media type such as audio/wav"
    raise InvalidInputError(message, reason="INVALID_CONTENT_TYPE")


def check_parent(prefix: str) -> str:
    """What folders can lie below: a folder, or nothing for the whole store.

    Raises:
        InvalidInputError: reason INVALID_KEY.
    """
    return check_folder(prefix) if prefix else prefix


def check_page(prefix: str, start_after: str, limit: int) -> None:
    """Check what a listing was asked for.

    Raises:
        InvalidInputError: reason INVALID_KEY or INVALID_PAGE_SIZE.
    """
    check_prefix(prefix)
    check_prefix(start_after)
    if not 1 <= limit <= MAX_PAGE:
        message = f"a page holds 1 to {MAX_PAGE} objects, not {limit}"
        raise InvalidInputError(message, reason="INVALID_PAGE_SIZE")


def object_page(found: Iterable[ObjectInfo], limit: int) -> ObjectPage:
    """The first `limit` of what was found; one more is looked at, to know whether there is another page."""
    objects = tuple(islice(found, limit + 1))
    return ObjectPage(objects[:limit], objects[limit - 1].key if len(objects) > limit else None)


def folder_page(found: Iterable[str], limit: int) -> FolderPage:
    """As `object_page`, for folders."""
    folders = tuple(islice(found, limit + 1))
    return FolderPage(folders[:limit], folders[limit - 1] if len(folders) > limit else None)


def past_folder(folder: str) -> str:
    """What to start after so that everything below `folder` (which ends with a slash) is passed over.

    It is not itself a key below it, and nothing lies between: "0" follows "/".
    """
    return f"{folder[:-1]}0" if folder.endswith("/") else folder


def _check_text(key: str) -> None:
    try:
        num_bytes = len(key.encode("utf-8"))
    except UnicodeEncodeError as exc:
        raise _invalid(ascii(key), "it is not Unicode text") from exc
    if num_bytes > MAX_KEY_BYTES:
        raise _invalid(key, f"it has {num_bytes} bytes; the limit is {MAX_KEY_BYTES}")
    if found := _AVOIDED.search(key):
        raise _invalid(key, f"it holds {found[0]!a}")


def _check_segments(key: str, segments: list[str]) -> None:
    for segment in segments:
        if segment in ("", ".", ".."):
            raise _invalid(key, "between slashes stand names, not nothing, '.' or '..'")
        if len(segment.encode("utf-8")) > MAX_SEGMENT_BYTES:
            raise _invalid(key, f"a part between slashes has more than {MAX_SEGMENT_BYTES} bytes")


def _invalid(key: str, why: str) -> InvalidInputError:
    return InvalidInputError(f"{key[:80]!r} cannot name an object: {why}", reason="INVALID_KEY")
