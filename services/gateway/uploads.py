"""Uploads: files that callers leave for later calls, a folder a tenant, for a limited time.

A file is written under another name and renamed when it is whole, so that nobody hears half of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from eureka.api.v1 import audio_service_pb2 as api
from eureka.errors import (
    AudioTooLongError,
    InvalidAudioError,
    InvalidInputError,
    NotFoundError,
    QueueFullError,
    StageUnavailableError,
)

logger = logging.getLogger(f"eureka.{__name__}")

MAX_CHUNK_BYTES = 1 << 20
"""Data in one message."""

QUOTA_STEP_BYTES = 16 << 20
"""Room is measured again after so many bytes: each of the uploads side by side passes a limit by no more."""

MAX_DISPLAY_NAME = 255
"""Characters."""

_PREFIX = "uploads/"
_NAME = re.compile(r"uploads/([0-9a-f]{32})")
_PART = ".part"
_FILE = re.compile(r"[0-9a-f]{32}(\.part)?")

_LONGEST_SWEEP_SECONDS = 60.0
_SWEEPS_A_LIFETIME = 4


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is kept.

    Attributes:
        name: `uploads/{upload}`.
        size_bytes: of the file.
        expire_time: when it will be deleted.
    """

    name: str
    size_bytes: int
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What uploads may take.

    Attributes:
        max_bytes: of one upload.
        max_tenant_bytes: of all uploads of one tenant, parts counted.
        ttl_seconds: how long an upload is kept.
        max_tenant_running: uploads that one tenant sends at a time.
        min_free_bytes: room that uploads leave on the disk for everybody else.
    """

    max_bytes: int
    max_tenant_bytes: int
    ttl_seconds: float
    max_tenant_running: int
    min_free_bytes: int


class UploadStore:
    """Files below one folder, written by this process only.

    Args:
        folder: made where it is missing, for its owner only.
        limits: see there.
        clock: seconds since the epoch.
    """

    def __init__(self, folder: Path, limits: UploadLimits, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._limits = limits
        self._clock = clock
        self._num_running: Counter[str] = Counter()

    @contextlib.contextmanager
    def begin(self, tenant: str) -> Iterator[UploadWriter]:
        """A new upload of a tenant; leaving the block without `finish` removes what there is.

        Raises:
            QueueFullError: reason TOO_MANY_UPLOADS; the tenant sends as many as it may.
            StageUnavailableError: reason UPLOAD_NOT_STORED.
        """
        limit = self._limits.max_tenant_running
        if self._num_running[tenant] >= limit:
            message = f"the tenant sends {limit} uploads now, the limit; try again when one of them has ended"
            raise QueueFullError(message, reason="TOO_MANY_UPLOADS")
        self._num_running[tenant] += 1
        try:
            with UploadWriter(self._folder / tenant, self._limits) as writer:
                yield writer
        finally:
            self._num_running[tenant] -= 1

    def find(self, tenant: str, name: str) -> Path:
        """File of an upload.

        Raises:
            NotFoundError: reason UPLOAD_NOT_FOUND; unknown, expired, or another tenant's.
        """
        match = _NAME.fullmatch(name)
        path = self._folder / tenant / match[1] if match else None
        if path is None or not path.is_file() or self._is_expired(path):
            message = f"there is no upload {name[:64]!r}; it may have expired: upload the file again"
            raise NotFoundError(message, reason="UPLOAD_NOT_FOUND")
        return path

    def sweep(self) -> int:
        """Delete what has expired, and parts that nobody writes any more; how many files went.

        Only files with names of uploads: the folder may hold what is not ours.
        """
        ours = (path for path in self._folder.glob("*/*") if _FILE.fullmatch(path.name))
        expired = [path for path in ours if self._is_expired(path)]
        return sum(_is_deleted(path) for path in expired)

    async def run(self) -> None:
        """Sweep from time to time, until cancelled."""
        while True:
            num_deleted = await asyncio.to_thread(self.sweep)
            if num_deleted:
                logger.info("uploads_expired", extra={"num_deleted": num_deleted})
            await asyncio.sleep(min(_LONGEST_SWEEP_SECONDS, self._limits.ttl_seconds / _SWEEPS_A_LIFETIME))

    def _is_expired(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime + self._limits.ttl_seconds <= self._clock()
        except OSError:
            return True


class UploadWriter:
    """One upload while it comes in; leaving it as a context without `finish` removes what there is.

    Args:
        folder: of the tenant.
        limits: see there.
    """

    def __init__(self, folder: Path, limits: UploadLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._next_count = 0
        self._id = secrets.token_hex(16)
        self._part = folder / f"{self._id}{_PART}"
        self._num_bytes = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = self._part.open("xb")
        except OSError as error:
            raise _not_stored(error) from error

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            InvalidInputError: reason CHUNK_TOO_LARGE.
            AudioTooLongError: reason UPLOAD_TOO_LARGE.
            QueueFullError: reason UPLOAD_QUOTA, the tenant's uploads are too large together; SPOOL_FULL, the
                disk is nearly full.
            StageUnavailableError: reason UPLOAD_NOT_STORED.
        """
        if len(data) > MAX_CHUNK_BYTES:
            message = f"a message holds {len(data):,} bytes of data, at most {MAX_CHUNK_BYTES:,}"
            raise InvalidInputError(message, reason="CHUNK_TOO_LARGE")
        self._num_bytes += len(data)
        if self._num_bytes > self._limits.max_bytes:
            message = f"the upload has more than {self._limits.max_bytes:,} bytes, the limit: cut the file"
            raise AudioTooLongError(message, reason="UPLOAD_TOO_LARGE")
        try:
            if self._num_bytes > self._next_count:
                self._next_count = self._num_bytes + QUOTA_STEP_BYTES
                self._check_room(len(data))
            self._file.write(data)
            self._file.flush()  # for the quota: other uploads of the tenant see it on the disk only
        except OSError as error:
            raise _not_stored(error) from error

    def _check_room(self, num_bytes: int) -> None:
        kept = sum(_size_of(path) for path in self._folder.iterdir())
        if kept + num_bytes > self._limits.max_tenant_bytes:
            raise QueueFullError(
                f"all uploads of the tenant hold {kept:,} bytes, at most {self._limits.max_tenant_bytes:,}; "
                "try again when some have expired",
                reason="UPLOAD_QUOTA",
            )
        free = shutil.disk_usage(self._folder).free
        if free < self._limits.min_free_bytes:
            message = f"the gateway's disk has {free:,} bytes left, too few for uploads; try again later"
            raise QueueFullError(message, reason="SPOOL_FULL")

    def finish(self) -> Upload:
        """The whole file has come; from now on it can be found.

        Raises:
            InvalidAudioError: reason EMPTY_AUDIO; it holds no byte.
            StageUnavailableError: reason UPLOAD_NOT_STORED.
        """
        if not self._num_bytes:
            raise InvalidAudioError("the upload is empty (0 bytes)", reason="EMPTY_AUDIO")
        path = self._part.with_suffix("")
        try:
            self._file.close()
            self._part.rename(path)
            kept_until = path.stat().st_mtime + self._limits.ttl_seconds
        except OSError as error:
            raise _not_stored(error) from error
        return Upload(_PREFIX + self._id, self._num_bytes, datetime.fromtimestamp(kept_until, UTC))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


async def receive(store: UploadStore, tenant: str, requests: AsyncIterator[api.UploadRequest]) -> Upload:
    """Keep what a stream of messages brings: first the configuration, then data in order.

    Raises:
        InvalidInputError: NO_UPLOAD_CONFIG, DISPLAY_NAME_TOO_LONG, NO_UPLOAD_DATA; and as `UploadWriter`.
    """
    with contextlib.ExitStack() as stack:
        writer: UploadWriter | None = None
        async for request in requests:
            if writer is None:
                _check_config(request)
                writer = stack.enter_context(store.begin(tenant))
                continue
            await asyncio.to_thread(writer.write, _data_of(request))
        if writer is None:
            raise _no_config()
        return await asyncio.to_thread(writer.finish)


def _size_of(path: Path) -> int:
    """Bytes of a file; none of one that has just gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_deleted(path: Path) -> bool:
    """Delete a file; one that cannot be deleted must not keep the others, and is tried again."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("upload_not_deleted", extra={"error": error.strerror})
        return False
    return True


def _check_config(request: api.UploadRequest) -> None:
    if request.WhichOneof("payload") != "config":
        raise _no_config()
    num_characters = len(request.config.display_name)
    if num_characters > MAX_DISPLAY_NAME:
        message = f"display_name has {num_characters} characters, at most {MAX_DISPLAY_NAME}"
        raise InvalidInputError(message, reason="DISPLAY_NAME_TOO_LONG")


def _data_of(request: api.UploadRequest) -> bytes:
    if request.WhichOneof("payload") != "data":
        message = "every message of an upload but the first holds data"
        raise InvalidInputError(message, reason="NO_UPLOAD_DATA")
    return request.data


def _no_config() -> InvalidInputError:
    message = "the first message of an upload holds its config"
    return InvalidInputError(message, reason="NO_UPLOAD_CONFIG")


def _not_stored(error: OSError) -> StageUnavailableError:
    message = f"the upload cannot be stored now ({error.strerror}); try again later"
    return StageUnavailableError(message, reason="UPLOAD_NOT_STORED")
