"""The samples of a window, from the object that holds the audio, by decoding no more than is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import BinaryIO, Protocol

import numpy as np

from eureka.audio.decode import AudioInfo, DecodeLimits
from eureka.audio.decode_pool import DecodePool
from eureka.audio.span_reader import open_from
from eureka.errors import InvalidAudioError, WrongStateError
from eureka.jobs.plan import PlannedSource, PlannedSpan
from eureka.storage.store import ObjectStore
from eureka.types import SAMPLE_RATE_HZ, Pcm, Span

FARTHEST_SAMPLES = 60 * SAMPLE_RATE_HZ
"""A minute: further ahead it is quicker to seek than to decode what lies between."""

TAIL_SAMPLES = 2 * SAMPLE_RATE_HZ
"""Kept behind the last window: the next one hears a little of it (0.6 s by the planner)."""


class PcmReader(Protocol):
    """An opened file: iterate once for its pcm blocks."""

    @property
    def info(self) -> AudioInfo:
        """What is known of the file."""
        ...

    def __iter__(self) -> Iterator[Pcm]:
        """Blocks of pcm (S,), never empty.

        Raises:
            EurekaError: it cannot be decoded.
        """
        ...


class AudioOpener(Protocol):
    """Decodes a seekable reader, here or in another process."""

    def __call__(self, reader: BinaryIO, start_sample: int = 0) -> AbstractContextManager[PcmReader]:
        """Open it for reading from a sample on.

        Raises:
            EurekaError: it cannot be decoded; InvalidAudioError (SEEK_MISSED) where only reading from the
                start will do.
        """
        ...


class OpenHere:
    """Decodes in this process, with constant memory and by ranges of the object.

    Args:
        limits: what one file may cost.
    """

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        self._limits = limits

    def __call__(self, reader: BinaryIO, start_sample: int = 0) -> AbstractContextManager[PcmReader]:
        """As `AudioOpener`."""
        return open_from(reader, start_sample, self._limits)


class OpenInPool:
    """Decodes in confined children, for audio that nobody vouches for.

    Args:
        pool: started before.
    """

    def __init__(self, pool: DecodePool) -> None:
        self._pool = pool

    def __call__(self, reader: BinaryIO, start_sample: int = 0) -> AbstractContextManager[PcmReader]:
        """As `AudioOpener`."""
        return self._pool.open(reader, start_sample=start_sample, by_ranges=True)


class SpanFetcher:
    """Fetches windows; near ones in order cost one pass over the audio. Not for several threads.

    Args:
        objects: the store that holds the audio.
        opener: decodes it.
    """

    def __init__(self, objects: ObjectStore, opener: AudioOpener) -> None:
        self._objects = objects
        self._opener = opener
        self._open: _Running | None = None

    def fetch(self, source: PlannedSource, window: PlannedSpan) -> Pcm:
        """The heard samples of a window, exactly those that were planned.

        Raises:
            WrongStateError: the audio is not what was planned (SOURCE_CHANGED).
            NotFoundError: the object is gone.
            EurekaError: it cannot be decoded any more, or the store is away.
        """
        pcm = self._from_running(source, window)
        if pcm is None:
            pcm = self._by_seeking(source, window)
        if pcm is None:
            pcm = self._from_start(source, window)
        return pcm

    def close(self) -> None:
        """Close the audio that is kept open."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _from_running(self, source: PlannedSource, window: PlannedSpan) -> Pcm | None:
        running = self._open
        if running is None or running.source != source or not running.is_near(window.heard):
            return None
        return self._checked(running, window)

    def _by_seeking(self, source: PlannedSource, window: PlannedSpan) -> Pcm | None:
        try:
            running = self._restart(source, window.heard.start_sample)
            return self._checked(running, window)
        except InvalidAudioError:  # a container that seeks badly
            return None

    def _from_start(self, source: PlannedSource, window: PlannedSpan) -> Pcm:
        pcm = self._checked(self._restart(source, 0), window)
        if pcm is None:
            message = f"the audio {source.key} is not what was planned; make the job again"
            raise WrongStateError(message, reason="SOURCE_CHANGED")
        return pcm

    def _restart(self, source: PlannedSource, start_sample: int) -> _Running:
        self.close()
        self._open = _Running(self._objects, self._opener, source, start_sample)
        return self._open

    def _checked(self, running: _Running, window: PlannedSpan) -> Pcm | None:
        """The samples, if they are the planned ones; else the running decoder is of no use any more."""
        try:
            pcm = running.read(window.heard)
        except BaseException:
            self.close()
            raise
        if hashlib.sha256(pcm.tobytes()).hexdigest() == window.pcm_sha256:
            return pcm
        self.close()
        return None


class _Running:
    """A decoder in the middle of a file, with the last samples that it gave."""

    def __init__(
        self, objects: ObjectStore, opener: AudioOpener, source: PlannedSource, start_sample: int
    ) -> None:
        self.source = source
        self._start = self._end = start_sample  # of the samples that are kept
        self._kept: list[Pcm] = []
        with ExitStack() as opened:
            reader = opened.enter_context(objects.open(source.key))
            self._blocks = iter(opened.enter_context(opener(reader, start_sample)))
            self._resources = opened.pop_all()

    def is_near(self, span: Span) -> bool:
        return self._start <= span.start_sample <= self._end + FARTHEST_SAMPLES

    def read(self, span: Span) -> Pcm:
        """The samples of a span; fewer where the audio ends before."""
        self._forget(span.start_sample)
        while self._end < span.end_sample and (block := next(self._blocks, None)) is not None:
            self._kept.append(block)
            self._end += len(block)
            self._forget(span.start_sample)
        joined = np.concatenate(self._kept) if self._kept else np.zeros(0, np.float32)
        first = span.start_sample - self._start
        pcm: Pcm = joined[first : first + span.num_samples].copy()
        self._forget(max(span.start_sample, span.end_sample - TAIL_SAMPLES))
        return pcm

    def close(self) -> None:
        self._resources.close()

    def _forget(self, sample: int) -> None:
        """Let go of blocks that lie before a sample."""
        while self._kept and self._start + len(self._kept[0]) <= sample:
            self._start += len(self._kept.pop(0))
