from __future__ import annotations

import math

import numpy as np
import pytest

from eureka.audio.log_mel import normalise_log_mel, raw_log_mel
from eureka.training.activity import mean_power
from eureka.training.augment import (
    LOWEST,
    SOUND_POLICY,
    SPEECH_POLICY,
    Augmenter,
    AugmentPolicy,
    NoiseBank,
    add_powers,
    limit_band,
    mask_parts,
    mel_centres_hz,
    mix_at_snr,
    pad_frames,
    reverberate,
    smooth_curve,
    stretch,
    warp_vocal_tract,
)

BINS = 80


def _tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    times = np.arange(int(16_000 * seconds)) / 16_000
    pcm = (0.3 * np.sin(2 * np.pi * hz * times)).astype(np.float32)
    return np.ascontiguousarray(raw_log_mel(pcm, BINS).T)


def _noise_pcm(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(16_000 * seconds)).astype(np.float32)


def _noise(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.ascontiguousarray(raw_log_mel(_noise_pcm(seconds, seed), BINS).T)


def test_add_powers_equals_logaddexp_in_base_ten() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-9, 3, (2, 50, BINS)).astype(np.float32)
    expected = np.logaddexp(a * math.log(10), b * math.log(10)) / math.log(10)
    np.testing.assert_allclose(add_powers(a, b), expected, atol=1e-5)


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 25.0])
def test_mix_at_snr_equals_the_mix_of_samples(snr_db: float) -> None:
    clip = _noise_pcm(2.0, 1) * np.repeat([1.0, 0.02, 0.5, 0.0], 8_000).astype(np.float32)
    noise = _noise_pcm(2.0, 2)
    gain = np.sqrt((clip**2).mean() / (noise**2).mean() / 10 ** (snr_db / 10))
    true = raw_log_mel((clip + gain * noise).astype(np.float32), BINS).T
    clip_mel = np.ascontiguousarray(raw_log_mel(clip, BINS).T)
    mixed = mix_at_snr(clip_mel, np.ascontiguousarray(raw_log_mel(noise, BINS).T), snr_db)
    # Cross terms of two sounds average out over a band of bins and half a second.
    quiet = slice(160, 195)
    difference = np.log10((10.0 ** mixed[quiet]).mean() / (10.0 ** true[quiet]).mean())
    assert abs(difference) * 10 < 0.5  # dB


def test_mix_at_snr_uses_mean_power_not_the_peak() -> None:
    clip = np.full((200, BINS), -6.0, np.float32)
    clip[100:102] = 2.0  # a click: its peak is 20 dB over its mean
    noise = np.zeros((200, BINS), np.float32)
    added = mix_at_snr(clip, noise, 10.0)[:90]
    assert 10 * np.log10(mean_power(clip) / mean_power(added)) == pytest.approx(10.0, abs=0.1)


def test_stretch_moves_an_event_by_the_time_scale() -> None:
    raw = np.full((400, BINS), -6.0, np.float32)
    raw[100:200] = 1.0
    loud = np.flatnonzero(stretch(raw, 1.15)[:, 0] > 0)
    assert abs(loud[0] - 115) <= 1 and abs(loud[-1] + 1 - 230) <= 1


def test_pad_frames_fills_whole_audio_tokens_with_silence() -> None:
    padded = pad_frames(np.zeros((13, BINS), np.float32))
    assert padded.shape == (16, BINS)
    assert (padded[13:] == LOWEST).all()


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.15])
def test_warp_moves_a_tone_by_the_factor(factor: float) -> None:
    warped = warp_vocal_tract(_tone(2_000.0), factor)
    centres = mel_centres_hz(BINS)
    heard = centres[warped.mean(axis=0).argmax()]
    assert heard == pytest.approx(2_000.0 * factor, rel=0.05)


def test_warp_keeps_the_level_of_noise() -> None:
    raw = _noise()
    assert abs(float(warp_vocal_tract(raw, 1.12).mean() - raw.mean())) < 0.1


def test_limit_band_removes_all_above_and_keeps_all_below() -> None:
    raw = _noise()[:90]
    limited = limit_band(raw, 3_500.0, 5.0)
    centres = mel_centres_hz(BINS)
    np.testing.assert_allclose(limited[:, centres < 3_400], raw[:, centres < 3_400], atol=1e-5)
    assert (limited[:, centres > 3_900] < raw[:, centres > 3_900] - 4.0).all()


def test_reverberate_adds_a_tail_that_falls_by_its_time() -> None:
    raw = np.full((200, BINS), LOWEST, np.float32)
    raw[50:60] = 0.0
    wet = reverberate(raw, reverb_seconds=0.5, level_db=10.0)
    assert wet[49].max() == pytest.approx(LOWEST, abs=0.05)
    assert wet[60, 0] == pytest.approx(-1.0 - 6 / 50, abs=0.02)
    assert wet[60, 0] - wet[85, 0] == pytest.approx(3.0, abs=0.02)  # half of 60 dB in half the time
    assert (wet >= raw - 1e-3).all()


def test_smooth_curve_is_smooth_and_bounded() -> None:
    for seed in range(20):
        curve = smooth_curve(BINS, 0.9, np.random.default_rng(seed))
        assert np.abs(curve).max() < 0.9 * 2.5
        assert np.abs(np.diff(curve)).max() < 0.25


def test_mask_parts_cover_at_most_what_the_policy_says() -> None:
    policy = AugmentPolicy()
    for seed in range(20):
        mel = np.random.default_rng(seed).normal(size=(200, BINS)).astype(np.float32)
        before = mel.copy()
        mask_parts(mel, policy, np.random.default_rng(seed))
        changed = mel != before
        assert changed.all(axis=1).sum() <= policy.time_masks * policy.time_mask_frames
        assert changed.all(axis=0).sum() <= policy.mel_masks * policy.mel_mask_bins


def test_coloured_noise_fluctuates_as_the_mels_of_noise_do() -> None:
    noise = NoiseBank([], BINS).coloured(2_000, np.random.default_rng(0))
    made = noise.std(axis=0)
    real = _noise(20.0)[:-1].std(axis=0)
    assert np.abs(made - real).max() < 0.15
    assert abs(float((made - real).mean())) < 0.05


def test_recorded_noise_shorter_than_the_clip_is_repeated() -> None:
    bank = NoiseBank([("rain", np.arange(5, dtype=np.float16)[:, None].repeat(BINS, 1))], BINS)
    label, piece = bank.recorded(12, np.random.default_rng(0))
    assert label == "rain" and piece.shape == (12, BINS) and piece.dtype == np.float32
    assert ((np.diff(piece[:, 0]) == 1) | (np.diff(piece[:, 0]) == -4)).all()


@pytest.mark.parametrize("policy", [SPEECH_POLICY, SOUND_POLICY], ids=["speech", "sound"])
def test_augment_same_seed_gives_the_same_clip_and_leaves_its_input(policy: AugmentPolicy) -> None:
    raw = np.concatenate([_noise(0.8), _tone(440.0, 0.8)]).astype(np.float16)
    before = raw.copy()
    augmenter = Augmenter(policy, NoiseBank([("rain", _noise(3.0, 5))], BINS))
    for seed in range(30):
        first = augmenter.augment(raw, np.random.default_rng(seed))
        again = augmenter.augment(raw, np.random.default_rng(seed))
        np.testing.assert_array_equal(first.mel, again.mel)
        assert first.mel.dtype == np.float32 and np.isfinite(first.mel).all()
        assert len(first.mel) % 8 == 0
        assert abs(len(first.mel) - len(raw) * first.time_scale) <= 8
    np.testing.assert_array_equal(raw, before)


def test_augment_with_all_steps_off_is_what_serving_computes() -> None:
    off = {name: 0.0 for name in AugmentPolicy.__dataclass_fields__ if name.endswith("_probability")}
    raw = _noise(0.8)
    mel = Augmenter(AugmentPolicy(**off), NoiseBank([], BINS)).augment(raw, np.random.default_rng(0)).mel
    np.testing.assert_array_equal(mel, normalise_log_mel(raw))


def test_augment_names_the_recorded_noise_that_it_mixed_in() -> None:
    policy = AugmentPolicy(noise_probability=1.0, recorded_noise_share=1.0)
    augmenter = Augmenter(policy, NoiseBank([("wind", _noise(1.0, 5))], BINS))
    assert augmenter.augment(_tone(300.0), np.random.default_rng(0)).noise_label == "wind"
