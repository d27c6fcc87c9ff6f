import io

import numpy as np
import pytest

from eureka.audio.decode import decode_all
from eureka.audio.decode_pool import DecodePool
from eureka.audio.span_reader import SpanReader, open_from
from eureka.errors import InvalidAudioError, StageUnavailableError
from tests.unit.audio.audio_files import encode, wav

STARTS = (16_000 * 5 + 133, 16_000 * 14 + 777)


def rustle(seconds: float, rate: int) -> np.ndarray:
    n = np.arange(round(seconds * rate))
    loudness = 0.5 + 0.5 * np.sin(3.0 * n / rate)
    return (0.1 * np.random.default_rng(0).standard_normal(len(n)) * loudness).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "rate", "num_channels"),
    [("flac", 48_000, 2), ("mp3", 44_100, 2), ("mp3", 16_000, 1), ("opus", 48_000, 1), ("flac", 16_000, 1)],
)
def test_span_from_the_middle_is_that_of_the_whole(name, rate, num_channels):
    data = encode(name, rustle(20.0, rate), rate, num_channels)
    whole = decode_all(data)
    for start in STARTS:
        with open_from(io.BytesIO(data), start) as reader:
            assert np.array_equal(np.concatenate(list(reader)), whole[start:])
        assert reader.info.num_samples == len(whole)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_span_of_a_wav_reads_only_what_it_needs(rate):
    data = wav(rustle(60.0, rate), rate)
    whole = decode_all(data)

    class Counting(io.BytesIO):
        num_read = 0

        def read(self, size=-1):
            found = super().read(size)
            self.num_read += len(found)
            return found

    file = Counting(data)
    with open_from(file, 50 * 16_000 + 7) as reader:
        assert np.array_equal(np.concatenate(list(reader)), whole[50 * 16_000 + 7 :])
    assert file.num_read < len(data) / 3 + (1 << 19)


def test_span_in_a_pool_is_that_of_the_whole():
    data = encode("mp3", rustle(20.0, 44_100), 44_100)
    whole = decode_all(data)
    with DecodePool(1) as pool, pool.open(data, start_sample=STARTS[0]) as reader:
        assert np.array_equal(np.concatenate(list(reader)), whole[STARTS[0] :])


def test_span_beyond_the_end_is_an_error():
    with pytest.raises(InvalidAudioError), SpanReader(wav(rustle(3.0, 16_000)), 16_000 * 60) as reader:
        list(reader)


def test_span_from_zero_is_the_whole():
    data = encode("m4a", rustle(3.0, 44_100), 44_100)
    with open_from(data, 0) as reader:
        assert np.array_equal(np.concatenate(list(reader)), decode_all(data))


class Ranged(io.BytesIO):
    """Counts the bytes that were read, and may fail after so many."""

    def __init__(self, data, limit=1 << 40):
        super().__init__(data)
        self.num_read = 0
        self.limit = limit

    def read(self, size=-1):
        found = super().read(size)
        self.num_read += len(found)
        if self.num_read > self.limit:
            raise StageUnavailableError("the store is away")
        return found


@pytest.fixture(scope="module")
def pool():
    with DecodePool(1) as pool:
        yield pool


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "m4a", "fragmented m4a", "opus"])
def test_pool_by_ranges_equals_decoding_here(pool, name):
    data = encode(name, rustle(6.0, 16_000))
    with pool.open(Ranged(data), by_ranges=True) as reader:
        assert np.array_equal(np.concatenate(list(reader)), decode_all(data))
    assert reader.info.is_complete


def test_pool_by_ranges_reads_only_what_a_span_needs(pool):
    data = wav(rustle(120.0, 16_000))
    file = Ranged(data)
    with pool.open(file, start_sample=16_000 * 100, by_ranges=True) as reader:
        first = next(iter(reader))
    assert np.array_equal(first, decode_all(data)[16_000 * 100 :][: len(first)])
    assert file.num_read < 2 << 20
    assert np.array_equal(pool.decode(data), decode_all(data))  # the child was stopped and goes on


def test_pool_by_ranges_raises_what_the_reader_raises(pool):
    data = wav(rustle(60.0, 16_000))
    with pytest.raises(StageUnavailableError), pool.open(Ranged(data, 1 << 20), by_ranges=True) as reader:
        list(reader)
    with pytest.raises(StageUnavailableError):
        pool.open(Ranged(data, 5_000), by_ranges=True)
    assert np.array_equal(pool.decode(data), decode_all(data))


def test_pool_by_ranges_refuses_what_is_no_audio(pool):
    with pytest.raises(InvalidAudioError) as caught:
        pool.open(Ranged(b"no audio at all" * 1_000), by_ranges=True)
    assert caught.value.reason == "NOT_AUDIO"
