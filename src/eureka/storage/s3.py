"""An object store in a bucket of plain S3; the sha256 stands in the metadata of each object."""

from __future__ import annotations

import hashlib
import io
import secrets
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import BinaryIO

from minio import datatypes
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from eureka.errors import DataLossError, EurekaError, InvalidInputError, NotFoundError
from eureka.storage import store
from eureka.storage.measured import measured
from eureka.storage.range_reader import RangeReader, buffered
from eureka.storage.s3_client import FirstWriterPool, S3Config, open_client, open_signer
from eureka.storage.s3_errors import delete_error, is_condition_failed, translated_errors
from eureka.storage.store import DEFAULT_CONTENT_TYPE, MAX_PAGE, FolderPage, ObjectInfo, ObjectPage

MAX_LINK_SECONDS = 604_800
"""Longest life of a link, the limit of S3 (7 days)."""

_SHA256, _WRITER = "sha256", "writer"
"""Names of metadata; on the wire with the prefix."""

_PREFIX = "x-amz-meta-"


class S3ObjectStore:
    """Objects of one bucket; safe for threads, made anew in each process. Methods are those of `ObjectStore`.

    A request that fails is tried again with growing pauses, within `S3Config.max_attempts`; then the store
    counts as away.
    """

    def __init__(self, config: S3Config) -> None:
        self._config = config
        self._bucket = config.bucket
        self._client = open_client(config)
        self._first_writer = open_client(config, FirstWriterPool)
        self._signer = open_signer(config)

    def put(
        self, key: str, content: bytes | BinaryIO, *, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectInfo:
        """Write an object, in parts where it is large; an older one is replaced."""
        store.check_key(key)
        store.check_content_type(content_type)
        with measured(content) as whole, translated_errors(self._bucket, key):
            done = self._client.put_object(
                self._bucket,
                key,
                whole.stream,  # type: ignore[arg-type]  # minio only reads
                whole.num_bytes,
                content_type,
                {_SHA256: whole.sha256},
                part_size=self._config.part_bytes,
                num_parallel_uploads=1,  # one part in memory
            )
            try:
                return self.stat(key)
            except NotFoundError:  # deleted since
                now = datetime.now(UTC)
                return ObjectInfo(key, whole.num_bytes, done.etag or "", now, whole.sha256, content_type)

    def put_if_absent(self, key: str, content: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE) -> bool:
        """Write an object unless there is one; whether it was written."""
        store.check_key(key)
        store.check_content_type(content_type)
        writer = secrets.token_hex(8)
        with translated_errors(self._bucket, key):
            try:
                self._put_first(key, content, content_type, writer)
            except S3Error as error:
                if not is_condition_failed(error):
                    raise
                return self._is_written_by(key, writer)
        return True

    def get(self, key: str) -> bytes:
        """The whole content, checked where its sha256 is known."""
        store.check_key(key)
        with translated_errors(self._bucket, key):
            content, sha256 = self._read(key)
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            message = f"object {key!r} is not what was put: its sha256 differs; put it again"
            raise DataLossError(message, reason="CHECKSUM_MISMATCH")
        return content

    def open(self, key: str) -> BinaryIO:
        """A seekable reader; OBJECT_CHANGED when the object is replaced meanwhile."""
        info = self.stat(key)
        return buffered(RangeReader(partial(self._fetch, key, info.etag), info.num_bytes))

    def stat(self, key: str) -> ObjectInfo:
        """What is known of the object."""
        store.check_key(key)
        with translated_errors(self._bucket, key):
            return _info(self._client.stat_object(self._bucket, key))

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
        with translated_errors(self._bucket, prefix):
            found = self._client.list_objects(self._bucket, prefix, True, start_after or None)
            return store.object_page((_info(one) for one in found if not one.is_dir), limit)

    def list_folders(self, prefix: str = "", *, start_after: str = "", limit: int = MAX_PAGE) -> FolderPage:
        """A page of folders directly below `prefix`."""
        store.check_page(store.check_parent(prefix), start_after, limit)
        with translated_errors(self._bucket, prefix):
            passed = store.past_folder(start_after) or None
            found = self._client.list_objects(self._bucket, prefix, False, passed)
            return store.folder_page((one.object_name or "" for one in found if one.is_dir), limit)

    def delete(self, key: str) -> None:
        """Remove the object with all its versions, if there is one."""
        store.check_key(key)
        with translated_errors(self._bucket, key):
            self._remove(takewhile(lambda one: one.object_name == key, self._versions(key)))

    def delete_prefix(self, prefix: str) -> int:
        """Remove all objects below a folder with all their versions; their number."""
        store.check_folder(prefix)
        with translated_errors(self._bucket, prefix):
            return self._remove(self._versions(prefix))

    def copy(self, source: str, target: str) -> ObjectInfo:
        """Put the content of `source` under `target`, inside the store."""
        store.check_key(source)
        store.check_key(target)
        if source != target:  # S3 refuses to copy an object to itself
            with translated_errors(self._bucket, source):
                self._client.copy_object(self._bucket, target, CopySource(self._bucket, source))
        return self.stat(target)

    def presign_put(self, key: str, expires_seconds: int) -> str:
        """A link for one PUT; what comes by it has no sha256."""
        return self._link("PUT", key, expires_seconds)

    def presign_get(self, key: str, expires_seconds: int) -> str:
        """A link for GET."""
        return self._link("GET", key, expires_seconds)

    def _put_first(self, key: str, content: bytes, content_type: str, writer: str) -> None:
        """One PUT that the store refuses where something is: parts would carry no condition."""
        self._first_writer.put_object(
            self._bucket,
            key,
            io.BytesIO(content),
            len(content),
            content_type,
            {_SHA256: hashlib.sha256(content).hexdigest(), _WRITER: writer},
            part_size=max(len(content), self._config.part_bytes),
        )

    def _is_written_by(self, key: str, writer: str) -> bool:
        """Whether a refused write was our own, whose first answer was lost on the way."""
        try:
            headers = self._client.stat_object(self._bucket, key).metadata or {}
        except S3Error:  # deleted since
            return False
        return headers.get(_PREFIX + _WRITER) == writer

    def _fetch(self, key: str, etag: str, start: int, num_bytes: int) -> bytes:
        with translated_errors(self._bucket, key):
            content, _ = self._read(key, start, num_bytes, {"If-Match": f'"{etag}"'})
        if len(content) != num_bytes:
            message = f"the store gave {len(content)} bytes of {key!r} for a range of {num_bytes}"
            raise EurekaError(message, reason="STORE_FAILED")
        return content

    def _read(
        self, key: str, start: int = 0, num_bytes: int = 0, headers: dict[str, str] | None = None
    ) -> tuple[bytes, str | None]:
        """The bytes (all where `num_bytes` is 0) and the object's sha256; what breaks off is read again."""
        for attempt in range(self._config.max_attempts):
            try:
                response = self._client.get_object(self._bucket, key, start, num_bytes, dict(headers or {}))
                return _drained(response), response.headers.get(_PREFIX + _SHA256)
            except (ProtocolError, ReadTimeoutError):
                if attempt == self._config.max_attempts - 1:
                    raise
                time.sleep(self._config.backoff_seconds * 2**attempt)
        raise AssertionError("there is one attempt at least")

    def _versions(self, prefix: str) -> Iterator[datatypes.Object]:
        """All versions and delete markers; where the bucket has no versions, the objects."""
        found: Iterator[datatypes.Object] = self._client.list_objects(
            self._bucket, prefix, True, include_version=True
        )
        return found

    def _remove(self, versions: Iterable[datatypes.Object]) -> int:
        """Remove them, a thousand a request; the number of objects among them."""
        names: set[str] = set()

        def to_delete() -> Iterator[DeleteObject]:
            for one in versions:
                if not one.is_delete_marker:
                    names.add(one.object_name or "")
                yield DeleteObject(one.object_name or "", one.version_id)

        for error in self._client.remove_objects(self._bucket, to_delete()):
            raise delete_error(error, self._bucket)
        return len(names)

    def _link(self, method: str, key: str, expires_seconds: int) -> str:
        store.check_key(key)
        if not 1 <= expires_seconds <= MAX_LINK_SECONDS:
            message = f"a link lives 1 to {MAX_LINK_SECONDS} seconds (7 days), not {expires_seconds}"
            raise InvalidInputError(message, reason="INVALID_EXPIRY")
        expires = timedelta(seconds=expires_seconds)
        return self._signer.get_presigned_url(method, self._bucket, key, expires)


def _drained(response: BaseHTTPResponse) -> bytes:
    """The body; the connection is kept for the next request, or closed where the body broke off."""
    try:
        content = response.read()
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return content


def _info(found: datatypes.Object) -> ObjectInfo:
    return ObjectInfo(
        key=found.object_name or "",
        num_bytes=found.size or 0,
        etag=found.etag or "",
        modified_time=found.last_modified or datetime.fromtimestamp(0, UTC),
        sha256=(found.metadata or {}).get(_PREFIX + _SHA256),
        content_type=found.content_type or "",
    )
