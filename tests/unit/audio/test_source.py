import io
import os

import pytest

from eureka.audio.source import declared_wav_seconds, is_playlist, mp3_states_length, open_source
from eureka.errors import AudioTooLongError, InvalidAudioError, InvalidInputError, NotFoundError
from tests.unit.audio.audio_files import encode, tone, wav

LIMIT = 1 << 30


def test_source_missing_file_is_not_found(tmp_path):
    for path in (tmp_path / "none.wav", tmp_path / "none" / "none.wav"):
        with pytest.raises(NotFoundError) as caught:
            open_source(path, LIMIT)
        assert caught.value.reason == "FILE_NOT_FOUND"


def test_source_file_below_a_file_is_not_found(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    with pytest.raises(NotFoundError):
        open_source(tmp_path / "a.wav" / "b.wav", LIMIT)


def test_source_folder_pipe_and_device_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(InvalidInputError) as caught:
            open_source(path, LIMIT)
        assert caught.value.reason == "NOT_A_FILE"


def test_source_name_that_no_file_can_have_is_refused():
    with pytest.raises(InvalidInputError) as caught:
        open_source("a\0b.wav", LIMIT)
    assert caught.value.reason == "FILE_NOT_READABLE"


def test_source_reader_that_cannot_seek_is_refused():
    read_end, write_end = os.pipe()
    os.close(write_end)
    with os.fdopen(read_end, "rb") as reader, pytest.raises(InvalidInputError) as caught:
        open_source(reader, LIMIT)
    assert caught.value.reason == "NOT_SEEKABLE"


def test_source_is_at_its_start_and_closes_only_what_is_ours(tmp_path):
    reader = io.BytesIO(wav(tone(0.1)))
    reader.seek(50)
    opened = open_source(reader, LIMIT)
    assert opened.reader.tell() == 0 and opened.num_bytes == 6_444
    opened.close()
    assert not reader.closed

    (tmp_path / "a.wav").write_bytes(reader.getvalue())
    ours = open_source(tmp_path / "a.wav", LIMIT)
    ours.close()
    assert ours.reader.closed


def test_source_empty_or_too_large_is_refused():
    with pytest.raises(InvalidAudioError) as empty:
        open_source(b"", LIMIT)
    with pytest.raises(AudioTooLongError) as large:
        open_source(b"x" * 11, 10)
    assert (empty.value.reason, large.value.reason) == ("EMPTY_AUDIO", "TOO_MANY_BYTES")


def test_declared_wav_seconds_reads_the_claim():
    assert declared_wav_seconds(wav(tone(2))) == 2.0
    assert declared_wav_seconds(wav(tone(2), data_bytes=640_000)) == 10.0
    assert declared_wav_seconds(wav(tone(2), data_bytes=0xFFFF_FFFF)) is None
    assert declared_wav_seconds(wav(tone(2), data_bytes=0)) is None
    assert declared_wav_seconds(wav(tone(2))[:40]) is None
    assert declared_wav_seconds(b"RIFF") is None


def test_mp3_states_length_finds_the_mark_after_a_tag():
    plain = encode("mp3", tone(1))
    tagged = b"ID3\x04\x00\x00\x00\x00\x40\x00" + bytes(8_192) + plain

    assert mp3_states_length(io.BytesIO(plain)) and mp3_states_length(io.BytesIO(tagged))
    assert not mp3_states_length(io.BytesIO(tagged[:8_000]))


def test_is_playlist_leaves_audio_alone():
    assert not any(
        is_playlist(encode(name, tone(0.1))[:4_096]) for name in ("wav", "mp3", "flac", "m4a", "opus")
    )
    assert not is_playlist(b"<svg></svg>")
