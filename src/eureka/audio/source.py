"""Where encoded audio comes from: a path, bytes or a seekable reader, opened under limits.

Only regular files are opened, never a URL or a device. The length of a stream that a header claims,
where FFmpeg does not pass it on, is read here too.
"""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from eureka.errors import AudioTooLongError, InvalidAudioError, InvalidInputError, NotFoundError

AudioSource = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes of a file, or a reader that can seek."""

HEAD_BYTES = 4_096
"""How much of a file is looked at before it is given to the decoder."""

UNKNOWN_WAV_SIZES = (0, 0xFFFF_FFFF)
"""Data sizes that writers of streams leave in a WAV header."""

_PLAYLIST_STARTS = (b"#extm3u", b"ffconcat", b"[playlist]", b"[reference]", b"v=0\r", b"v=0\n")
_PLAYLIST_TAGS = (b"<mpd", b"<smoothstreamingmedia", b"<smil", b"<asx", b"<playlist")


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """An opened file at its start.

    Attributes:
        reader: seekable.
        num_bytes: size.
        is_ours: opened here, and so closed here.
        declared_wav_seconds: what a WAV header claims; None where it claims nothing.
        mp3_states_length: the first frame of an MP3 holds a length; without it FFmpeg guesses.
    """

    reader: BinaryIO
    num_bytes: int
    is_ours: bool
    declared_wav_seconds: float | None = None
    mp3_states_length: bool = False

    def close(self) -> None:
        """Close the reader if it was opened here."""
        if self.is_ours:
            self.reader.close()


def open_source(source: AudioSource, max_bytes: int) -> OpenedSource:
    """Open `source` for reading from its start.

    Raises:
        NotFoundError: there is no such file (FILE_NOT_FOUND).
        InvalidInputError: no regular file, not readable, or a reader that cannot seek.
        InvalidAudioError: no bytes (EMPTY_AUDIO), or a playlist (PLAYLIST_REFUSED).
        AudioTooLongError: more than `max_bytes` (TOO_MANY_BYTES).
    """
    opened = _open(source)
    try:
        head = _check(opened, max_bytes)
        wav_seconds, states_length = declared_wav_seconds(head), mp3_states_length(opened.reader)
        opened.reader.seek(0)
    except BaseException:
        opened.close()
        raise
    return replace(opened, declared_wav_seconds=wav_seconds, mp3_states_length=states_length)


def declared_wav_seconds(head: bytes) -> float | None:
    """Seconds that the header of a RIFF/WAVE file claims; None where it claims nothing.

    FFmpeg corrects the claim silently by the size of the file, so a truncated file looks whole.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    bytes_per_second, at = 0, 12
    while at + 8 <= len(head):
        name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"fmt ":
            bytes_per_second = int.from_bytes(head[at + 16 : at + 20], "little")
        if name == b"data":
            is_known = bytes_per_second > 0 and size not in UNKNOWN_WAV_SIZES
            return size / bytes_per_second if is_known else None
        at += 8 + size + size % 2
    return None


def mp3_states_length(reader: BinaryIO) -> bool:
    """Whether the first frame of an MP3 holds its length (Xing, Info or VBRI)."""
    reader.seek(0)
    tag = reader.read(10)
    tag_bytes = 0
    if tag[:3] == b"ID3" and len(tag) == 10:
        size = zip(tag[6:], (21, 14, 7, 0), strict=True)  # 4 times 7 bits
        tag_bytes = 10 + sum((byte & 0x7F) << shift for byte, shift in size)
    reader.seek(tag_bytes)
    first_frames = reader.read(HEAD_BYTES)
    return any(mark in first_frames for mark in (b"Xing", b"Info", b"VBRI"))


def _open(source: AudioSource) -> OpenedSource:
    if isinstance(source, bytes | bytearray | memoryview):
        return OpenedSource(io.BytesIO(source), len(source), is_ours=True)
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source))
    try:
        num_bytes = source.seek(0, os.SEEK_END)
        source.seek(0)
    except (AttributeError, OSError, ValueError) as error:
        message = "the reader cannot seek; pass bytes, a path or a reader with seek()"
        raise InvalidInputError(message, reason="NOT_SEEKABLE") from error
    return OpenedSource(source, num_bytes, is_ours=False)


def _open_path(path: Path) -> OpenedSource:
    try:
        # Without O_NONBLOCK, opening a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"there is no file {path}", reason="FILE_NOT_FOUND") from error
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"cannot read {path}: {error}", reason="FILE_NOT_READABLE") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise InvalidInputError(f"{path} is no regular file; pass an audio file", reason="NOT_A_FILE")
    return OpenedSource(os.fdopen(descriptor, "rb"), status.st_size, is_ours=True)


def _check(opened: OpenedSource, max_bytes: int) -> bytes:
    """The first bytes, when size and start are fine."""
    if not opened.num_bytes:
        raise InvalidAudioError("the file is empty (0 bytes)", reason="EMPTY_AUDIO")
    if opened.num_bytes > max_bytes:
        message = f"the file has {opened.num_bytes:,} bytes; the limit is {max_bytes:,}"
        raise AudioTooLongError(message, reason="TOO_MANY_BYTES")
    head = opened.reader.read(HEAD_BYTES)
    if is_playlist(head):
        message = (
            "this is a playlist or a description of other files; those are refused, pass the audio itself"
        )
        raise InvalidAudioError(message, reason="PLAYLIST_REFUSED")
    return head


def is_playlist(head: bytes) -> bool:
    """Whether the start of a file is that of a format that only points to other files or hosts."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_PLAYLIST_STARTS):
        return True
    return text.startswith(b"<") and any(tag in text for tag in _PLAYLIST_TAGS)
