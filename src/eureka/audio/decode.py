"""Decoding of any audio container to 16 kHz mono pcm, block by block in constant memory.

FFmpeg (through PyAV) reads from a reader that we opened, with a list of containers that hold
their own audio: playlists, network protocols and references to other files are refused, never
followed. Corrupt packets are skipped and counted; a truncated file gives what is there.

This module decodes in the calling process. Untrusted files belong into `decode_pool`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, NoReturn, Self

import av
import numpy as np

from eureka.audio.frames import check_samples, frame_to_mono
from eureka.audio.resample import StreamingResampler
from eureka.audio.source import AudioSource, OpenedSource, open_source
from eureka.errors import AudioTooLongError, InvalidAudioError
from eureka.types import SAMPLE_RATE_HZ, Pcm

ALLOWED_CONTAINERS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpegts,ogg,tta,voc,w64,wav,wv"
)
"""FFmpeg demuxers that read one file and nothing else (webm is matroska; mp4, m4a, 3gp are mov)."""

CONTAINERS_THAT_GUESS = ("aac", "ac3", "eac3", "amr", "mpegts")
"""Their duration is an estimate from the bit rate, not a statement of the file."""

READ_BYTES = 1 << 18
"""Bytes asked of the reader at once."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What one file may cost.

    Attributes:
        max_decoded_seconds: decoded audio.
        max_bytes: size of the file.
        max_channels: channels of the stream.
        min_source_hz: lowest sample rate.
        max_source_hz: highest sample rate.
        max_wall_seconds: time spent decoding, waits for the consumer not counted.
        max_memory_bytes: address space of a decoding child process.
    """

    max_decoded_seconds: float = 6 * 3600.0
    max_bytes: int = 4 << 30
    max_channels: int = 8
    min_source_hz: int = 4_000
    max_source_hz: int = 384_000
    max_wall_seconds: float = 600.0
    max_memory_bytes: int = 2 << 30


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What is known of a file; the counts grow while it is decoded.

    Attributes:
        container: FFmpeg's name of the format.
        codec: name of the decoder.
        source_hz: sample rate of the stream.
        num_channels: channels of the stream.
        declared_seconds: length that the file states; None where it states none.
        num_samples: samples at 16 kHz given out so far.
        num_corrupt_packets: packets that were skipped so far.
        is_complete: whether the end was reached.
    """

    container: str
    codec: str
    source_hz: int
    num_channels: int
    declared_seconds: float | None
    num_samples: int = 0
    num_corrupt_packets: int = 0
    is_complete: bool = False

    @property
    def is_truncated(self) -> bool:
        """Whether the end came much earlier (0.5 s and 2 %) than the file states."""
        if not self.is_complete or self.declared_seconds is None:
            return False
        missing = self.declared_seconds - self.num_samples / SAMPLE_RATE_HZ
        return missing > max(0.5, 0.02 * self.declared_seconds)

    @property
    def damage(self) -> str:
        """What could not be read, for the user; empty where all could, and before the end."""
        parts = []
        if self.is_truncated:
            read = self.num_samples / SAMPLE_RATE_HZ
            parts.append(f"{read:.1f} s could be read of the {self.declared_seconds:.1f} s that it states")
        if self.is_complete and self.num_corrupt_packets:
            parts.append(f"{self.num_corrupt_packets} corrupt packets were left out")
        return "; ".join(parts)


class AudioReader:
    """One opened file: iterate once for its pcm blocks (about 1 s each, float32 in [-1, 1]).

    Args:
        source: path, bytes or seekable reader.
        limits: what the file may cost.
        clock: seconds, monotonic.
        channel: the only one that is heard, from 0; the mean of all when omitted.

    Raises:
        EurekaError: see `open_audio`; iterating raises the errors that only decoding shows.
    """

    def __init__(
        self,
        source: AudioSource,
        limits: DecodeLimits,
        clock: Callable[[], float] = time.monotonic,
        channel: int | None = None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._channel = channel
        self._busy_seconds = 0.0
        self._num_samples = 0
        self._num_corrupt = 0
        self._is_complete = False
        self._opened = open_source(source, limits.max_bytes)
        try:
            self._container = _open_container(self._opened)
            self._stream = _audio_stream(self._container)
            self._describe()
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> AudioInfo:
        """What is known now."""
        return AudioInfo(
            container=self._container.format.name,
            codec=self._stream.codec_context.name,
            source_hz=self._source_hz,
            num_channels=self._num_channels,
            declared_seconds=self._declared_seconds,
            num_samples=self._num_samples,
            num_corrupt_packets=self._num_corrupt,
            is_complete=self._is_complete,
        )

    def __iter__(self) -> Iterator[Pcm]:
        """Blocks of pcm (S,), never empty.

        Raises:
            InvalidAudioError: no sample could be decoded, or samples that are no audio.
            AudioTooLongError: a limit was reached.
        """
        for block in self._resampled():
            self._count(len(block))
            yield np.clip(block, -1.0, 1.0)
        if not self._num_samples:
            self._raise_no_samples()
        self._is_complete = True

    def close(self) -> None:
        """Release the decoder, and the file if it was opened here."""
        container = getattr(self, "_container", None)
        if container is not None:
            container.close()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _describe(self) -> None:
        context = self._stream.codec_context
        self._source_hz, self._num_channels = context.sample_rate, context.layout.nb_channels
        self._check_stream(self._source_hz, self._num_channels)
        self._check_channel(self._num_channels)
        stated = _stated_seconds(self._container, self._opened)
        self._check_length(stated or 0.0, "declares")
        self._declared_seconds = self._opened.declared_wav_seconds or stated

    def _check_stream(self, source_hz: int, num_channels: int) -> None:
        limits = self._limits
        if not 1 <= num_channels <= limits.max_channels:
            message = f"the audio has {num_channels} channels; 1 to {limits.max_channels} are served"
            raise InvalidAudioError(message, reason="TOO_MANY_CHANNELS")
        if not limits.min_source_hz <= source_hz <= limits.max_source_hz:
            served = f"{limits.min_source_hz:,} to {limits.max_source_hz:,} Hz"
            message = f"the audio has {source_hz:,} samples a second; {served} are served"
            raise InvalidAudioError(message, reason="SAMPLE_RATE_OUT_OF_RANGE")

    def _check_channel(self, num_channels: int) -> None:
        if self._channel is not None and not 0 <= self._channel < num_channels:
            message = f"the audio has {num_channels} channels, counted from 0; there is no {self._channel}"
            raise InvalidAudioError(message, reason="NO_SUCH_CHANNEL")

    def _check_length(self, seconds: float, verb: str) -> None:
        limit = self._limits.max_decoded_seconds
        if seconds > limit:
            raise AudioTooLongError(
                f"the audio {verb} {seconds:,.0f} s; the limit is {limit:,.0f} s: cut the file"
            )

    def _count(self, num_samples: int) -> None:
        self._num_samples += num_samples
        self._check_length(self._num_samples / SAMPLE_RATE_HZ, "decodes to")

    def _resampled(self) -> Iterator[Pcm]:
        """Blocks at 16 kHz; a change of rate in the middle of the stream starts a new resampler."""
        source_hz = self._source_hz
        resampler = StreamingResampler(source_hz)
        for block_hz, block in self._one_second_blocks():
            if block_hz != source_hz:
                yield from _if_any(resampler.flush())
                source_hz, resampler = block_hz, StreamingResampler(block_hz)
            yield from _if_any(resampler.push(block))
        yield from _if_any(resampler.flush())

    def _one_second_blocks(self) -> Iterator[tuple[int, Pcm]]:
        """(source rate, mono block of at least 1 s or until the rate changes)."""
        parts: list[Pcm] = []
        num_parts_samples, rate = 0, self._source_hz
        for frame in self._frames():
            if parts and (frame.sample_rate != rate or num_parts_samples >= rate):
                yield rate, _join(parts)
                parts, num_parts_samples = [], 0
            rate = frame.sample_rate
            parts.append(frame_to_mono(frame, self._channel))
            num_parts_samples += frame.samples
        if parts:
            yield rate, _join(parts)

    def _frames(self) -> Iterator[av.AudioFrame]:
        """Frames of all packets that decode."""
        packets = self._container.demux(self._stream)
        while True:
            start = self._clock()
            frames = self._decode_next(packets)
            self._busy_seconds += self._clock() - start
            if self._busy_seconds > self._limits.max_wall_seconds:
                message = f"decoding took more than {self._limits.max_wall_seconds:g} s, which is the limit"
                raise AudioTooLongError(message, reason="DECODE_TOO_SLOW")
            if frames is None:
                return
            for frame in frames:
                self._check_stream(frame.sample_rate, frame.layout.nb_channels)
                yield frame

    def _decode_next(self, packets: Iterator[Any]) -> list[av.AudioFrame] | None:
        """Frames of the next packet, none for a corrupt one; None at the end of the data."""
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            _raise_if_ours(error)
            self._num_corrupt += 1
            return None  # the container breaks off here
        if packet is None:
            return None
        try:
            return list(packet.decode())
        except av.error.FFmpegError as error:
            _raise_if_ours(error)
            self._num_corrupt += 1
            return []

    def _raise_no_samples(self) -> NoReturn:
        if self._num_corrupt:
            message = f"all {self._num_corrupt} packets of audio are corrupt"
            raise InvalidAudioError(message, reason="CORRUPT_AUDIO")
        raise InvalidAudioError("the file has a header but no audio (0 samples)", reason="EMPTY_AUDIO")


def open_audio(
    source: AudioSource, limits: DecodeLimits | None = None, channel: int | None = None
) -> AudioReader:
    """Open a path, bytes or a seekable reader for decoding in this process.

    Args:
        source: see there.
        limits: what the file may cost.
        channel: the only one that is heard, from 0; the mean of all when omitted.

    Raises:
        NotFoundError: no such file.
        InvalidInputError: no regular file, not readable, or a reader that cannot seek.
        InvalidAudioError: no audio that is served; the reason is one of EMPTY_AUDIO, NOT_AUDIO,
            PLAYLIST_REFUSED, NO_AUDIO_STREAM, UNSUPPORTED_CODEC, TOO_MANY_CHANNELS,
            NO_SUCH_CHANNEL, SAMPLE_RATE_OUT_OF_RANGE.
        AudioTooLongError: more bytes (TOO_MANY_BYTES) or declared seconds than allowed.
    """
    return AudioReader(source, limits or DecodeLimits(), channel=channel)


def decode_all(source: AudioSource, limits: DecodeLimits | None = None) -> Pcm:
    """The whole of `source` as pcm (S,) float32 at 16 kHz; errors as `open_audio` and iterating."""
    with open_audio(source, limits) as reader:
        return np.concatenate(list(reader))


def _join(parts: list[Pcm]) -> Pcm:
    joined = np.concatenate(parts)
    check_samples(joined)
    return joined


def _if_any(block: Pcm) -> Iterator[Pcm]:
    if len(block):
        yield block


def _open_container(opened: OpenedSource) -> Any:
    options = {
        "format_whitelist": ALLOWED_CONTAINERS,
        "codec_whitelist": _audio_decoders(),  # no picture or video decoder while probing
        "protocol_whitelist": "none",
    }
    try:
        return av.open(
            opened.reader,
            "r",
            options=options,
            metadata_errors="replace",
            buffer_size=READ_BYTES,
            io_open=_refuse_reference,
        )
    except av.error.FFmpegError as error:
        _raise_if_ours(error)
        message = (
            f"no audio could be read: a broken header, or none of the served formats ({ALLOWED_CONTAINERS})"
        )
        raise InvalidAudioError(message, reason="NOT_AUDIO") from error


def _refuse_reference(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise InvalidAudioError("the file refers to another file or host; refused", reason="PLAYLIST_REFUSED")


def _raise_if_ours(error: av.error.FFmpegError) -> None:
    """Out of memory is no fault of one packet."""
    if isinstance(error, MemoryError):
        raise InvalidAudioError(
            "decoding needs more memory than allowed", reason="TOO_MUCH_MEMORY"
        ) from error


def _audio_stream(container: Any) -> Any:
    if not container.streams.audio:
        raise InvalidAudioError("the file holds no audio stream", reason="NO_AUDIO_STREAM")
    stream = container.streams.best("audio") or container.streams.audio[0]
    if stream.codec_context is None:
        raise InvalidAudioError("the file's audio codec is not served", reason="UNSUPPORTED_CODEC")
    stream.codec_context.thread_count = 1
    return stream


@cache
def _audio_decoders() -> str:
    """Names of all audio decoders, as FFmpeg wants a list."""
    return ",".join(sorted(name for name in av.codecs_available if _is_audio_decoder(name)))


def _is_audio_decoder(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except ValueError:  # only an encoder has this name
        return False


def _stated_seconds(container: Any, opened: OpenedSource) -> float | None:
    """Length by the container, without FFmpeg's guesses from the bit rate."""
    if container.format.name in CONTAINERS_THAT_GUESS or not container.duration:
        return None
    if container.format.name == "mp3" and not opened.mp3_states_length:
        return None
    return float(container.duration / av.time_base)
