"""Decoding from the middle of a file: seek to a little before a sample, and drop what comes too early.

Containers state positions with more or less care, and some decoders need what lies before. So the samples
are meant to be those of decoding from the start, but only a checksum tells: callers who know it compare,
and decode from the start where it differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import Any

import av

from eureka.audio.decode import AudioReader, DecodeLimits, open_audio
from eureka.audio.source import AudioSource
from eureka.errors import InvalidAudioError
from eureka.types import SAMPLE_RATE_HZ, Pcm

PREROLL_SECONDS = 2.0
"""Decoded before the sample that is wanted, so that bit reservoirs, overlaps and filters settle."""


class SpanReader(AudioReader):
    """One opened file whose blocks begin at `start_sample`; else as `AudioReader`.

    Args:
        source: path, bytes or seekable reader.
        start_sample: first sample at 16 kHz that is given out.
        limits: what the file may cost; the part before `start_sample` counts as decoded.
        channel: the only one that is heard, from 0; the mean of all when omitted.

    Raises:
        InvalidAudioError: the container cannot seek, or lands behind the sample (SEEK_MISSED); else as
            `open_audio`.
    """

    def __init__(
        self,
        source: AudioSource,
        start_sample: int,
        limits: DecodeLimits | None = None,
        channel: int | None = None,
    ) -> None:
        super().__init__(source, limits or DecodeLimits(), channel=channel)
        self._start_sample = start_sample
        self._landed: int | None = None  # sample of the source that the first decoded frame begins with
        try:
            self._seek()
        except BaseException:
            self.close()
            raise

    def _seek(self) -> None:
        seconds = max(0.0, self._start_sample / SAMPLE_RATE_HZ - PREROLL_SECONDS)
        offset = int(seconds / self._stream.time_base) + (self._stream.start_time or 0)
        try:
            self._container.seek(offset, stream=self._stream)
        except av.error.FFmpegError as error:
            raise _missed("this container cannot seek") from error

    def _frames(self) -> Iterator[av.AudioFrame]:
        for frame in super()._frames():
            if self._landed is None:
                self._landed = self._source_sample(frame)
            yield frame

    def _source_sample(self, frame: Any) -> int:
        if frame.pts is None:
            raise _missed("its frames state no times")
        ticks = frame.pts - (self._stream.start_time or 0)
        sample: int = round(ticks * frame.time_base * self._source_hz)
        return sample

    def _one_second_blocks(self) -> Iterator[tuple[int, Pcm]]:
        """As of decoding from the start, where source and output samples coincide at the first."""
        is_first = True
        for rate, block in super()._one_second_blocks():
            yield rate, block[self._unaligned_samples() :] if is_first else block
            is_first = False

    def _resampled(self) -> Iterator[Pcm]:
        too_early: int | None = None
        for block in super()._resampled():
            if too_early is None:
                too_early = self._start_sample - self._first_output_sample()
                self._num_samples += self._first_output_sample()
            dropped = min(too_early, len(block))
            too_early -= dropped
            self._num_samples += dropped
            if dropped < len(block):
                yield block[dropped:]

    def _unaligned_samples(self) -> int:
        """Samples of the source until the next that coincides with an output sample."""
        assert self._landed is not None, "a block holds a frame"
        step: int = self._source_hz // gcd(self._source_hz, SAMPLE_RATE_HZ)
        return -self._landed % step

    def _first_output_sample(self) -> int:
        assert self._landed is not None, "a block holds a frame"
        aligned = self._landed + self._unaligned_samples()
        first: int = aligned * SAMPLE_RATE_HZ // self._source_hz
        if not 0 <= first <= self._start_sample:
            raise _missed(f"seeking to sample {self._start_sample} led to {first}")
        return first


def open_from(
    source: AudioSource,
    start_sample: int,
    limits: DecodeLimits | None = None,
    channel: int | None = None,
) -> AudioReader:
    """A reader whose blocks begin at `start_sample`; 0 needs no seeking. Errors as `SpanReader`."""
    if start_sample:
        return SpanReader(source, start_sample, limits, channel)
    return open_audio(source, limits, channel)


def _missed(why: str) -> InvalidAudioError:
    return InvalidAudioError(f"{why}; decode from the start instead", reason="SEEK_MISSED")
