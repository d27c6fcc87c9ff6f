"""Recordings of callers to pcm, by child processes, within the limits of a call."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from eureka.audio.decode import DecodeLimits
from eureka.audio.decode_pool import DecodePool, PooledReader
from eureka.clients.blocking import BoundCall
from eureka.errors import NotFoundError
from eureka.types import Pcm
from services.gateway.requests import Recording

_LEAST_SECONDS = 0.001

_LOOK_SECONDS = 0.1
"""How often a thread that waits for a decoder looks whether its call has ended."""


class RecordingDecoder:
    """Decodes for threads; each waits for a free child, and stops waiting when its call ends.

    Args:
        pool: children, which may serve nobody else.
        num_workers: of the pool.
    """

    def __init__(self, pool: DecodePool, num_workers: int) -> None:
        self._pool = pool
        self._free = threading.Semaphore(num_workers)

    def blocks(
        self, recording: Recording, channel: int | None, max_seconds: float, call: BoundCall
    ) -> Iterator[Pcm]:
        """All samples as one block, decoded when it is asked for: no child is held while models answer.

        Args:
            recording: of the request.
            channel: channel from 0; None is the mean of all.
            max_seconds: longest audio.
            call: whose recording it is.

        Raises:
            EurekaError: as `DecodePool.open` and reading; CancelledError when the call ends.
        """
        parts: list[Pcm] = []
        with self._opened(recording, channel, max_seconds, call) as reader:
            for block in reader:
                call.check()
                parts.append(block)
        yield np.concatenate(parts)

    def num_channels(self, recording: Recording, max_seconds: float, call: BoundCall) -> int:
        """Channels of a recording; errors as `blocks`."""
        with self._opened(recording, None, max_seconds, call) as reader:
            return reader.info.num_channels

    @contextmanager
    def _opened(
        self, recording: Recording, channel: int | None, max_seconds: float, call: BoundCall
    ) -> Iterator[PooledReader]:
        while not self._free.acquire(timeout=_LOOK_SECONDS):
            call.check()
        try:
            call.check()
            limits = self._limits(max_seconds, call.context.deadline)
            with (
                _file_of(recording) as source,
                self._pool.open(source, limits=limits, channel=channel) as reader,
            ):
                yield reader
        finally:
            self._free.release()

    def _limits(self, max_seconds: float, deadline: float | None) -> DecodeLimits:
        """A slow file must not hold its child, and all who wait for it, beyond the call's deadline."""
        limits = replace(self._pool.limits, max_decoded_seconds=max_seconds)
        if deadline is None:
            return limits
        left = max(deadline - time.monotonic(), _LEAST_SECONDS)
        return replace(limits, max_wall_seconds=min(left, limits.max_wall_seconds))


@contextmanager
def _file_of(recording: Recording) -> Iterator[bytes | BinaryIO]:
    """What the pool reads; an upload that expired meanwhile is told as such, without its path."""
    if isinstance(recording.source, bytes):
        yield recording.source
        return
    try:
        file = recording.source.open("rb")
    except OSError as error:
        message = "the upload has expired: upload the file again"
        raise NotFoundError(message, reason="UPLOAD_NOT_FOUND") from error
    with file:
        yield file
