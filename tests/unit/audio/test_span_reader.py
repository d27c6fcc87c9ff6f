import io

import numpy as np
import pytest

from eureka.audio.decode import decode_all
from eureka.audio.decode_pool import DecodePool
from eureka.audio.span_reader import SpanReader, open_from
from eureka.errors import InvalidAudioError
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
