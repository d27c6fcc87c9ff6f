import numpy as np
import pytest

from eureka.audio.encoder_input import build_encoder_windows, count_audio_tokens
from eureka.audio.log_mel import log_mel
from eureka.errors import InvalidAudioError
from tests.unit.audio.step_by_step import windows_step_by_step

TOLERANCE = 2e-5  # float32 against float64 after log10, on bands near the floor


def noise(seconds: float, level: float = 0.1, seed: int = 1) -> np.ndarray:
    pcm = level * np.random.default_rng(seed).standard_normal(int(seconds * 16_000))
    return pcm.astype(np.float32)


@pytest.mark.parametrize(
    ("seconds", "kept"), [([70], [375, 375, 125]), ([20, 20], [375, 125]), ([0.03, 29.96, 0.5], [375, 8])]
)
def test_reference_windows_equal_the_step_by_step_version(seconds, kept):
    # Two levels, so that the floors of the items differ.
    items = [noise(s, 0.5 / 10**i, seed=i) for i, s in enumerate(seconds)]

    windows = build_encoder_windows(items, "reference", 128)

    expected = windows_step_by_step(items, 128)
    assert [w.num_audio_tokens for w in windows] == kept
    assert sum(kept) == sum(count_audio_tokens(items))
    assert [w.log_mel.shape for w in windows] == [(128, 3_000)] * len(expected)
    for window, slow in zip(windows, expected, strict=True):
        assert window.log_mel.dtype == np.float32
        assert np.abs(window.log_mel - slow).max() < TOLERANCE


def test_reference_windows_last_one_is_padded_with_the_constant():
    (window,) = build_encoder_windows([noise(1)], "reference", 80)

    assert np.all(window.log_mel[:, 104:] == -1.5)
    assert window.log_mel[:, :104].min() > -1.5


def test_per_item_windows_have_their_true_length():
    items = [noise(0.1), noise(7.3, seed=2)]

    windows = build_encoder_windows(items, "per_item", 80, window_seconds=10)

    assert [w.num_audio_tokens for w in windows] == [2, 92]
    for window, pcm in zip(windows, items, strict=True):
        assert np.array_equal(window.log_mel, log_mel(pcm, 80))


def test_per_item_windows_long_item_is_cut_into_equal_parts():
    pcm = noise(25.01)

    windows = build_encoder_windows([pcm], "per_item", 80, window_seconds=10)

    assert [w.num_audio_tokens for w in windows] == [104, 104, 105]
    assert sum(w.num_audio_tokens for w in windows) == count_audio_tokens([pcm])[0]
    assert np.array_equal(windows[1].log_mel, log_mel(pcm[104 * 1_280 : 208 * 1_280], 80))


def test_encoder_windows_of_nothing_are_none():
    assert build_encoder_windows([], "reference") == []
    assert build_encoder_windows([], "per_item") == []


@pytest.mark.parametrize("windowing", ["reference", "per_item"])
def test_encoder_windows_empty_item_is_refused(windowing):
    with pytest.raises(InvalidAudioError):
        build_encoder_windows([noise(1), noise(0)], windowing)


def test_encoder_windows_unknown_windowing_is_refused():
    with pytest.raises(ValueError, match="windowing"):
        build_encoder_windows([noise(1)], "other")
