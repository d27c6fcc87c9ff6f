import numpy as np
import pytest

from eureka.audio.log_mel import (
    log_mel,
    mel_filters,
    normalise_log_mel,
    num_audio_tokens,
    pad_to_token,
    raw_log_mel,
)
from eureka.errors import InvalidAudioError
from tests.unit.audio.step_by_step import slow_filters, slow_log_mel


def two_tones() -> np.ndarray:
    n = np.arange(16_000)
    tones = 0.5 * np.sin(2 * np.pi * 440 * n / 16_000) + 0.1 * np.sin(2 * np.pi * 3_000 * n / 16_000)
    return tones.astype(np.float32)


def test_log_mel_two_tones_has_the_check_values():
    mel = log_mel(two_tones(), 128)

    assert mel.shape == (128, 104) and mel.dtype == np.float32
    assert num_audio_tokens(16_000) == 13
    assert mel.mean() == pytest.approx(-0.383029, abs=2e-6)
    assert mel.max() == pytest.approx(1.485354, abs=2e-6)
    assert mel.min() == pytest.approx(-0.514646, abs=2e-6)
    assert mel[0, 0] == pytest.approx(0.912987, abs=2e-6)
    assert mel[20, 50] == pytest.approx(1.287393, abs=2e-6)


@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_log_mel_noise_equals_step_by_step_version(num_mel_bins):
    pcm = (0.1 * np.random.default_rng(1).standard_normal(9_001)).astype(np.float32)

    assert np.abs(log_mel(pcm, num_mel_bins) - slow_log_mel(pcm, num_mel_bins)).max() < 2e-6


@pytest.mark.parametrize("num_mel_bins", [20, 80, 128])
def test_mel_filters_any_size_equal_the_formula(num_mel_bins):
    assert np.abs(mel_filters(num_mel_bins).T - slow_filters(num_mel_bins)).max() < 1e-8


def test_mel_filters_80_have_the_published_values():
    filters = mel_filters(80)  # values of Whisper's mel_80

    assert filters.shape == (201, 80) and filters.dtype == np.float32
    assert filters[1, 0] == pytest.approx(0.02486259, abs=1e-7)
    assert filters[1, 1] == pytest.approx(0.00199082, abs=1e-7)
    assert filters[2, 1] == pytest.approx(0.02287177, abs=1e-7)
    assert not filters.flags.writeable


def test_log_mel_loud_last_frame_sets_the_floor():
    pcm = np.zeros(2_560, np.float32)
    pcm[:1_280] = 1e-3 * two_tones()[:1_280]
    pcm[-1] = 1.0  # heard mostly by the frame that is dropped

    with_last = log_mel(pcm, 80)
    without_last = normalise_log_mel(raw_log_mel(pcm, 80))

    assert np.abs(with_last - slow_log_mel(pcm, 80)).max() < 2e-6
    assert with_last.min() > without_last.min()


def test_raw_log_mel_normalised_equals_log_mel_when_the_end_is_quiet():
    pcm = two_tones()

    assert np.array_equal(normalise_log_mel(raw_log_mel(pcm, 80)), log_mel(pcm, 80))


def test_log_mel_blocks_do_not_show():
    pcm = np.tile(two_tones(), 12)  # 1,200 frames: three blocks
    mel = raw_log_mel(pcm, 80)

    assert mel.shape == (80, 1_200)
    assert np.allclose(mel[:, 510:520], raw_log_mel(pcm[40_000:], 80)[:, 260:270], atol=1e-4)


@pytest.mark.parametrize(
    ("num_samples", "tokens"), [(1, 1), (160, 1), (1_280, 1), (1_281, 2), (168_880, 132)]
)
def test_log_mel_any_length_gives_whole_tokens(num_samples, tokens):
    assert num_audio_tokens(num_samples) == tokens
    assert len(pad_to_token(np.ones(num_samples, np.float32))) == tokens * 1_280
    assert log_mel(np.ones(num_samples, np.float32), 80).shape == (80, tokens * 8)


def test_log_mel_silence_is_the_constant_of_the_smallest_power():
    assert np.abs(log_mel(np.zeros(16_000, np.float32), 128) + 1.5).max() < 1e-6


def test_log_mel_empty_is_refused():
    with pytest.raises(InvalidAudioError) as caught:
        log_mel(np.zeros(0, np.float32))
    assert caught.value.reason == "EMPTY_AUDIO"
