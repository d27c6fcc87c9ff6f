import math

import numpy as np
import pytest

from eureka.audio.resample import StreamingResampler, resample

# float32 sums of about 40 products against float64: errors near 1e-7 for samples in [-1, 1].
TOLERANCE = 5e-7


def defined_resample(pcm: np.ndarray, source_hz: int) -> np.ndarray:
    """torchaudio's default resampler from its definition: every output from all inputs, float64."""
    rate = 16_000 / source_hz
    cutoff = min(1.0, rate) * 0.99  # of the input's Nyquist frequency
    length = -(-len(pcm) * 16_000 // source_hz)
    outputs = np.empty(length)
    for n in range(length):
        crossings = (np.arange(len(pcm)) - n * source_hz / 16_000) * cutoff
        near = np.abs(crossings) < 6
        hann = np.cos(np.pi * crossings[near] / 12) ** 2
        outputs[n] = np.sum(pcm[near].astype(np.float64) * np.sinc(crossings[near]) * hann) * cutoff
    return outputs


def noise(num_samples: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(-1, 1, num_samples).astype(np.float32)


@pytest.mark.parametrize("source_hz", [8_000, 11_025, 12_345, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_resample_noise_equals_the_definition(source_hz):
    pcm = noise(2_001)

    result = resample(pcm, source_hz)

    expected = defined_resample(pcm, source_hz)
    assert result.dtype == np.float32 and result.shape == expected.shape
    assert np.abs(result - expected).max() < TOLERANCE


@pytest.mark.parametrize("source_hz", [8_000, 12_345, 44_100, 96_000])
def test_resampler_any_block_sizes_give_the_same_bits(source_hz):
    pcm, sizes = noise(3 * source_hz), np.random.default_rng(4)
    resampler, outputs, position = StreamingResampler(source_hz), [], 0
    while position < len(pcm):
        size = int(sizes.integers(1, 9_000))
        outputs.append(resampler.push(pcm[position : position + size]))
        position += size
    outputs.append(resampler.flush())

    assert np.array_equal(np.concatenate(outputs), resample(pcm, source_hz))


def test_resampler_same_rate_is_the_identity():
    pcm = noise(1_000)

    assert np.array_equal(resample(pcm, 16_000), pcm)


def test_resampler_long_stream_keeps_a_small_buffer():
    resampler = StreamingResampler(44_100)
    for _ in range(50):
        resampler.push(noise(44_100))

    assert len(resampler._buffer) < 100


@pytest.mark.parametrize("num_samples", [0, 1, 5])
def test_resample_tiny_input_has_the_rounded_up_length(num_samples):
    assert len(resample(noise(num_samples), 48_000)) == math.ceil(num_samples / 3)


def test_resample_tone_keeps_its_level_and_loses_what_lies_above():
    n = np.arange(48_000)
    low, high = (np.sin(2 * np.pi * hz * n / 48_000).astype(np.float32) for hz in (1_000, 11_000))

    assert np.abs(resample(low, 48_000)[100:-100]).max() == pytest.approx(1.0, abs=2e-3)
    assert np.abs(resample(high, 48_000)[100:-100]).max() < 5e-3


def test_resampler_without_a_rate_is_refused():
    with pytest.raises(ValueError, match="positive"):
        StreamingResampler(0)
