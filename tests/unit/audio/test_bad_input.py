"""Every kind of bad file, through the pool: one clear error or a right answer, the next file unaffected."""

import io
import socket
import time
from collections.abc import Iterator

import av
import numpy as np
import pytest

from eureka.audio.decode import AudioInfo, DecodeLimits
from eureka.audio.decode_pool import DecodePool
from eureka.audio.plan import is_silent
from eureka.errors import AudioTooLongError, EurekaError, InvalidAudioError
from tests.unit.audio.audio_files import encode, silent_opus, tone, wav

GOOD = wav(tone(0.3))


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[DecodePool]:
    with DecodePool(1, DecodeLimits(max_wall_seconds=30)) as pool:
        yield pool


@pytest.fixture
def pool(shared_pool: DecodePool) -> Iterator[DecodePool]:
    """The pool; after each test the next file must decode as ever, in the time it always takes."""
    yield shared_pool
    started = time.monotonic()
    assert np.array_equal(shared_pool.decode(GOOD), tone(0.3))
    assert time.monotonic() - started < 20


def decode(pool: DecodePool, data: bytes) -> tuple[np.ndarray, AudioInfo]:
    with pool.open(data) as reader:
        blocks = list(reader)
    return np.concatenate(blocks), reader.info


def error_of(pool: DecodePool, data: bytes) -> EurekaError:
    with pytest.raises(EurekaError) as caught:
        pool.decode(data)
    return caught.value


def picture(codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="image2pipe") as output:
        stream = output.add_stream(codec, rate=1)
        stream.width = stream.height = 32
        stream.pix_fmt = "rgb24" if codec == "png" else "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        output.mux([*stream.encode(frame.reformat(format=stream.pix_fmt)), *stream.encode(None)])
    return file.getvalue()


def random_bytes(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


HEADER = wav(np.zeros(0, np.int16))
NO_AUDIO = {
    "empty": (b"", "EMPTY_AUDIO"),
    "one byte": (b"R", "NOT_AUDIO"),
    "random bytes": (random_bytes(100_000), "NOT_AUDIO"),
    "random bytes after an mp3 sync": (b"\xff\xfb\x90\x00" + random_bytes(100_000), "NOT_AUDIO"),
    "random bytes after an ogg mark": (b"OggS" + random_bytes(100_000), "NOT_AUDIO"),
    "text": (b"hello, this is a letter\n" * 500, "NOT_AUDIO"),
    "json": (b'{"audio": "file:///etc/passwd"}', "NOT_AUDIO"),
    "png": (picture("png"), "NOT_AUDIO"),
    "jpeg": (picture("mjpeg"), "NOT_AUDIO"),
    "header only": (HEADER, "EMPTY_AUDIO"),
    "half a header": (HEADER[:30], "NOT_AUDIO"),
    "flac header only": (encode("flac", tone(1))[:42], "NOT_AUDIO"),
    "m4a without its index": (encode("m4a", tone(3))[:-2_000], "NOT_AUDIO"),
    "0 channels": (wav(np.zeros(100, np.int16), num_channels=0), "TOO_MANY_CHANNELS"),
    "9 channels": (wav(np.zeros((100, 9), np.int16)), "TOO_MANY_CHANNELS"),
    "65,535 channels": (wav(np.zeros(100, np.int16), num_channels=65_535), "TOO_MANY_CHANNELS"),
    "rate 0": (wav(np.zeros(100, np.int16), 0), "NOT_AUDIO"),
    "rate 1": (wav(np.zeros(100, np.int16), 1), "SAMPLE_RATE_OUT_OF_RANGE"),
    "rate 2 GHz": (wav(np.zeros(100, np.int16), 2_000_000_000), "SAMPLE_RATE_OUT_OF_RANGE"),
    "unknown codec": (wav(np.zeros(100, np.int16), format_tag=0x1234), "UNSUPPORTED_CODEC"),
    "nan": (wav(np.where(np.arange(16_000) == 9_000, np.nan, 0).astype("<f4")), "NON_FINITE_SAMPLES"),
    "inf": (wav(np.where(np.arange(16_000) == 9_000, -np.inf, 0).astype("<f8")), "NON_FINITE_SAMPLES"),
    "inf in both signs": (wav(np.array([[np.inf, -np.inf]] * 100, "<f4")), "NON_FINITE_SAMPLES"),
    "integers as floats": (wav(32_767 * tone(0.1)), "SAMPLES_OUT_OF_RANGE"),
}


@pytest.mark.parametrize("name", NO_AUDIO)
def test_bad_input_without_audio_is_one_clear_error(pool, name):
    data, reason = NO_AUDIO[name]

    error = error_of(pool, data)

    assert isinstance(error, InvalidAudioError) and error.code == "INVALID_ARGUMENT"
    assert error.reason == reason
    assert len(error.message) > 20


@pytest.mark.parametrize("seed", range(20))
def test_bad_input_any_random_bytes_are_refused(pool, seed):
    marks = [
        b"",
        b"ID3\x04\0\0\0\0\0\0",
        b"fLaC",
        b"RIFF\xff\xff\xff\xffWAVE",
        b"\x1aE\xdf\xa3",
        b"\0\0\0 ftypM4A ",
        b"FORM",
    ]

    error = error_of(pool, marks[seed % len(marks)] + random_bytes(20_000, seed))

    assert isinstance(error, InvalidAudioError)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A listening address that must see no connection, and a real file beside it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            server.accept()


PLAYLISTS = {
    "m3u8": ("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{0}/a.ts\n#EXTINF:9,\n{1}\n", "PLAYLIST_REFUSED"),
    "m3u8 with a mark and spaces": ("\ufeff \n#EXTM3U\n#EXTINF:9,\n{1}\n", "PLAYLIST_REFUSED"),
    "concat": ("ffconcat version 1.0\nfile '{1}'\nfile '{0}/a.wav'\n", "PLAYLIST_REFUSED"),
    "sdp": (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 0\r\n",
        "PLAYLIST_REFUSED",
    ),
    "dash": (
        '<?xml version="1.0"?><MPD type="static" mediaPresentationDuration="PT9S"><Period><AdaptationSet '
        'mimeType="audio/mp4"><Representation id="1"><BaseURL>{0}/a.mp4</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
        "PLAYLIST_REFUSED",
    ),
    "asx": ('<asx version="3.0"><entry><ref href="{0}/a.wav"/></entry></asx>', "PLAYLIST_REFUSED"),
    "pls": ("[playlist]\nFile1={0}/a.wav\nNumberOfEntries=1\n", "PLAYLIST_REFUSED"),
    "list of paths": ("{1}\n{1}\n", "NOT_AUDIO"),
    "image sequence name": ("file:{1}%03d.wav", "NOT_AUDIO"),
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_bad_input_playlist_is_refused_and_never_followed(pool, silent_server, tmp_path, name):
    (tmp_path / "real.wav").write_bytes(GOOD)
    text, reason = PLAYLISTS[name]
    path = tmp_path / f"list.{name.split()[0]}"
    path.write_text(text.format(silent_server, tmp_path / "real.wav"), encoding="utf-8")

    with pytest.raises(InvalidAudioError) as caught:
        pool.decode(path)

    assert caught.value.reason == reason


def test_bad_input_address_is_only_a_name_of_a_file(pool, silent_server):
    error = error_of(pool, silent_server + "/a.wav")

    assert error.reason == "FILE_NOT_FOUND"


def test_bad_input_lying_header_gives_what_is_there(pool):
    samples = np.round(tone(1) * 32_767).astype(np.int16)
    for claimed, truncated in ((0xFFFF_FFFF, False), (0, False), (len(samples) * 200, True)):
        pcm, info = decode(pool, wav(samples, data_bytes=claimed))

        assert np.allclose(pcm, samples / 32_768, atol=1e-6)
        assert info.is_truncated is truncated

    pcm, info = decode(pool, wav(samples, data_bytes=16_000))
    assert len(pcm) == 8_000 and not info.is_truncated


@pytest.mark.parametrize("name", ["wav", "mp3", "flac", "webm", "fragmented m4a", "aac", "opus"])
def test_bad_input_truncated_file_gives_what_is_there(pool, name):
    data = encode(name, tone(4))

    pcm, info = decode(pool, data[: len(data) // 2])

    assert 1.2 < len(pcm) / 16_000 < 2.6
    assert np.abs(np.abs(pcm[4_000:16_000]).max() - 0.3) < 0.05
    # AAC without a container states no length, Ogg only on its last page.
    assert info.is_truncated is (name not in ("aac", "opus"))


@pytest.mark.parametrize("name", ["wav", "mp3", "flac", "m4a", "opus", "webm", "aac"])
def test_bad_input_corrupt_middle_gives_the_rest(pool, name):
    data = bytearray(encode(name, tone(6)))
    middle, size = len(data) // 2, len(data) // 12
    data[middle : middle + size] = random_bytes(size)

    pcm, info = decode(pool, bytes(data))

    assert info.is_complete
    assert np.abs(pcm).max() <= 1.0
    assert len(pcm) > 2.5 * 16_000
    assert np.abs(np.abs(pcm[8_000:40_000]).max() - 0.3) < 0.05, "the start is as it was"


def test_bad_input_ten_milliseconds_are_audio(pool):
    for rate in (8_000, 16_000, 44_100):
        assert len(pool.decode(wav(tone(0.01, rate), rate))) == 160
    assert len(pool.decode(wav(np.zeros(1, np.int16)))) == 1


def test_bad_input_silence_decodes_to_silence(pool):
    pcm = pool.decode(wav(np.zeros(16_000, np.int16)))

    assert len(pcm) == 16_000 and is_silent(pcm)


def test_bad_input_small_file_of_twenty_hours_is_refused_at_once(pool):
    data = silent_opus(20 * 3600)
    assert len(data) < 2_000_000

    started = time.monotonic()
    error = error_of(pool, data)

    assert isinstance(error, AudioTooLongError) and error.reason == "AUDIO_TOO_LONG"
    assert "72,00" in error.message and "21,600" in error.message
    assert time.monotonic() - started < 10


def test_bad_input_hidden_length_is_refused_at_the_limit():
    data = encode("aac", tone(2)) * 8  # states no length
    with DecodePool(1, DecodeLimits(max_decoded_seconds=10)) as pool:
        blocks = []
        with pytest.raises(AudioTooLongError) as caught:
            blocks.extend(pool.stream(data))

        assert caught.value.reason == "AUDIO_TOO_LONG" and "10 s" in caught.value.message
        assert np.array_equal(pool.decode(GOOD), tone(0.3))
