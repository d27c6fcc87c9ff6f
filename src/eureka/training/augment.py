"""Augmentation of log-mels on the fly: matrices, index gathers and sums of powers, no waveforms.

Everything works on raw log10 mel powers (F, M) float32 as `raw_log_mel` gives them (transposed),
draws from the numpy Generator it is handed, and leaves its input as it was. `Augmenter` strings the
steps together under a policy and normalises as serving does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eureka.audio.log_mel import FRAMES_PER_AUDIO_TOKEN, SMALLEST_POWER, mel_filters, normalise_log_mel
from eureka.training.activity import frame_power

RawMel = NDArray[np.float32]
"""log10 mel powers (F, M) float32, neither floored nor scaled."""

Range = tuple[float, float]

LOWEST = float(np.log10(SMALLEST_POWER))
"""log10 of the smallest power, -10: what samples of zero give."""

_LN10 = np.float32(np.log(10.0))
_WARP_STEPS = 33
"""Warps are rounded to this many steps, so that their matrices can be kept."""


@dataclass(frozen=True, slots=True)
class AugmentPolicy:
    """How often and how strongly each step works; ranges are drawn uniformly.

    Attributes:
        speed: factor on tempo; labels follow `Augmented.time_scale`.
        warp: vocal-tract factor; above 1 moves formants up.
        equaliser_db: half width of the random curve over frequency.
        telephone_probability: how often all above `telephone_hz` is removed.
        reverb_seconds: time to fall by 60 dB.
        reverb_level_db: how far the tail starts below the direct sound.
        gain_db: gain on the whole.
        snr_db: mean power of the clip over that of the noise.
        time_masks: up to so many, of up to `time_mask_frames` and never over a tenth of the clip each.
    """

    speed: Range = (0.85, 1.15)
    speed_probability: float = 0.6
    warp: Range = (0.85, 1.18)
    warp_probability: float = 0.6
    equaliser_db: Range = (2.0, 9.0)
    equaliser_probability: float = 0.6
    telephone_hz: Range = (3400.0, 4000.0)
    telephone_probability: float = 0.12
    reverb_seconds: Range = (0.15, 0.7)
    reverb_level_db: Range = (4.0, 18.0)
    reverb_probability: float = 0.3
    gain_db: Range = (-14.0, 8.0)
    gain_probability: float = 0.8
    snr_db: Range = (4.0, 30.0)
    noise_probability: float = 0.5
    recorded_noise_share: float = 0.5
    time_masks: int = 2
    time_mask_frames: int = 20
    mel_masks: int = 2
    mel_mask_bins: int = 10
    mask_probability: float = 0.6

    def scaled(self, factor: float) -> AugmentPolicy:
        """The same steps, each `factor` times as often; as strong as before when one happens."""
        probabilities = [f.name for f in fields(self) if f.name.endswith("_probability")]
        return replace(self, **{name: min(1.0, getattr(self, name) * factor) for name in probabilities})


SPEECH_POLICY = AugmentPolicy()
"""For spoken clips."""

SOUND_POLICY = AugmentPolicy(
    warp=(0.93, 1.08),
    warp_probability=0.4,
    equaliser_db=(1.0, 6.0),
    telephone_probability=0.04,
    reverb_probability=0.2,
    snr_db=(14.0, 35.0),
    noise_probability=0.3,
    recorded_noise_share=0.0,
)
"""For sounds: noise stays low and is never a recording, since rain under rain would be a label."""


@dataclass(frozen=True, slots=True)
class Augmented:
    """An augmented clip.

    Attributes:
        mel: raw log10 mel powers (F, M), or normalised (F, M) from `Augmenter.augment`; F by 8.
        time_scale: new time / old time of every label.
        noise_label: label of the recorded noise that was mixed in, None without one.
    """

    mel: RawMel
    time_scale: float = 1.0
    noise_label: str | None = None


class NoiseBank:
    """Noise to mix in: coloured noise made from a table, and recorded mels with their labels.

    Args:
        recorded: raw mels (F, M) of background recordings, with label.
        num_mel_bins: M.
        seed: of the table of frame to frame fluctuation.
    """

    _TABLE_FRAMES = 4096

    def __init__(
        self, recorded: list[tuple[str, NDArray[np.floating[Any]]]], num_mel_bins: int = 80, seed: int = 0
    ) -> None:
        self._recorded = recorded
        spread = 0.56 / np.sqrt(_fft_bins_per_mel(num_mel_bins))
        rng = np.random.default_rng(seed)
        # log10 of an exponential variable has standard deviation 0.56; a mel averages several bins.
        table = rng.standard_normal((self._TABLE_FRAMES, num_mel_bins)) * spread
        self._table: RawMel = table.astype(np.float32)

    @property
    def has_recordings(self) -> bool:
        """Whether there is any recorded noise."""
        return bool(self._recorded)

    def coloured(self, num_frames: int, rng: np.random.Generator) -> RawMel:
        """Stationary noise of a random smooth spectrum, (F, M), level near 0."""
        bins = self._table.shape[1]
        tilt = np.linspace(0.0, rng.uniform(-3.0, 0.5), bins, dtype=np.float32)
        start = int(rng.integers(self._TABLE_FRAMES))
        rows = np.arange(start, start + num_frames) % self._TABLE_FRAMES
        return np.asarray(self._table[rows] + (tilt + smooth_curve(bins, 0.5, rng)))

    def recorded(self, num_frames: int, rng: np.random.Generator) -> tuple[str, RawMel]:
        """A piece (F, M) of a drawn recording with its label, repeated when it is too short."""
        label, mel = self._recorded[int(rng.integers(len(self._recorded)))]
        start = int(rng.integers(len(mel)))
        rows = np.arange(start, start + num_frames) % len(mel)
        return label, mel[rows].astype(np.float32)


class Augmenter:
    """Augments clips under a policy.

    Args:
        policy: how often and how strongly.
        noise: where noise comes from.
    """

    def __init__(self, policy: AugmentPolicy, noise: NoiseBank) -> None:
        self.policy = policy
        self._noise = noise

    def augment(self, raw: NDArray[np.floating[Any]], rng: np.random.Generator) -> Augmented:
        """The augmented clip normalised as serving does and masked: mel (F, M), F by 8."""
        distorted = self.distort(raw, rng)
        return Augmented(self.finish(distorted.mel, rng), distorted.time_scale, distorted.noise_label)

    def distort(self, raw: NDArray[np.floating[Any]], rng: np.random.Generator) -> Augmented:
        """Speed, warp, equaliser, reverb, noise, band limit and gain; the mel stays raw (F, M)."""
        policy = self.policy
        mel = raw.astype(np.float32)
        time_scale = 1.0
        if _happens(policy.speed_probability, rng):
            time_scale = 1.0 / rng.uniform(*policy.speed)
            mel = pad_frames(stretch(mel, time_scale))
        mel, label = self._colour(mel, rng)
        if _happens(policy.telephone_probability, rng):
            mel = limit_band(mel, rng.uniform(*policy.telephone_hz), rng.uniform(3.0, 7.0))
        if _happens(policy.gain_probability, rng):
            mel = mel + np.float32(rng.uniform(*policy.gain_db) / 10)
        return Augmented(np.maximum(mel, np.float32(LOWEST)), time_scale, label)

    def finish(self, raw: RawMel, rng: np.random.Generator) -> RawMel:
        """Normalise as serving does, then mask: raw (F, M) -> (F, M)."""
        mel = normalise_log_mel(raw)
        if _happens(self.policy.mask_probability, rng):
            mask_parts(mel, self.policy, rng)
        return mel

    def _colour(self, mel: RawMel, rng: np.random.Generator) -> tuple[RawMel, str | None]:
        policy = self.policy
        if _happens(policy.warp_probability, rng):
            mel = warp_vocal_tract(mel, rng.uniform(*policy.warp))
        if _happens(policy.equaliser_probability, rng):
            mel = mel + smooth_curve(mel.shape[1], rng.uniform(*policy.equaliser_db) / 10, rng)
        if _happens(policy.reverb_probability, rng):
            mel = reverberate(mel, rng.uniform(*policy.reverb_seconds), rng.uniform(*policy.reverb_level_db))
        if _happens(policy.noise_probability, rng):
            return self._add_noise(mel, rng)
        return mel, None

    def _add_noise(self, mel: RawMel, rng: np.random.Generator) -> tuple[RawMel, str | None]:
        label: str | None = None
        if self._noise.has_recordings and _happens(self.policy.recorded_noise_share, rng):
            label, noise = self._noise.recorded(len(mel), rng)
        else:
            noise = self._noise.coloured(len(mel), rng)
        return mix_at_snr(mel, noise, rng.uniform(*self.policy.snr_db)), label


def stretch(raw: RawMel, time_scale: float) -> RawMel:
    """Tempo change by gathering frames: (F, M) -> (round(F * time_scale), M)."""
    num_frames = max(1, round(len(raw) * time_scale))
    rows = (np.arange(num_frames) * (len(raw) / num_frames)).astype(np.intp)
    return raw[rows]


def pad_frames(raw: RawMel) -> RawMel:
    """Frames of silence to the right up to whole audio tokens, 8 frames each."""
    missing = -len(raw) % FRAMES_PER_AUDIO_TOKEN
    return np.pad(raw, ((0, missing), (0, 0)), constant_values=LOWEST) if missing else raw


def warp_vocal_tract(raw: RawMel, factor: float) -> RawMel:
    """Formants moved by `factor` along frequency, 8 kHz staying where it is: (F, M) -> (F, M)."""
    step = round((factor - 0.8) / 0.4 * (_WARP_STEPS - 1))
    return raw @ _warp_matrix(raw.shape[1], min(max(step, 0), _WARP_STEPS - 1))


def smooth_curve(num_mel_bins: int, strength: float, rng: np.random.Generator) -> RawMel:
    """Random smooth curve over the mel axis, (M,), mostly within +-`strength`."""
    waves = _cosines(num_mel_bins)  # (4, M)
    weights = rng.uniform(-1.0, 1.0, len(waves)) * (0.6 * strength)
    return np.asarray(weights.astype(np.float32) @ waves)


def limit_band(raw: RawMel, cutoff_hz: float, depth: float) -> RawMel:
    """All above `cutoff_hz` lowered by `depth` decades, over a slope of 300 Hz."""
    above = (mel_centres_hz(raw.shape[1]) - cutoff_hz) / 300.0
    return np.maximum(raw - np.float32(depth) * np.clip(above, 0.0, 1.0), np.float32(LOWEST))


def reverberate(raw: RawMel, reverb_seconds: float, level_db: float) -> RawMel:
    """A tail behind every sound: a running maximum that falls by 60 dB in `reverb_seconds`.

    High bins fall up to twice as fast. The tail starts `level_db` below the sound.
    """
    frames, bins = raw.shape
    fall = np.linspace(1.0, 2.0, bins, dtype=np.float32) * np.float32(6.0 / (reverb_seconds * 100))
    ramp = np.arange(frames, dtype=np.float32)[:, None] * fall
    tail = np.maximum.accumulate(raw + ramp, axis=0) - ramp
    tail -= np.float32(level_db / 10)
    return add_powers(raw, tail)


def mix_at_snr(raw: RawMel, noise: RawMel, snr_db: float) -> RawMel:
    """Clip plus noise at a ratio of their mean powers: both (F, M).

    Mean power, not peaks: a peak level would put the noise some 14 dB too high on speech.
    """
    ratio = frame_power(raw).mean() / max(float(frame_power(noise).mean()), 1e-30)
    return add_powers(raw, noise + np.float32(np.log10(ratio) - snr_db / 10))


def add_powers(first: RawMel, second: RawMel) -> RawMel:
    """log10 of the sum of two powers given as log10: sounds that do not know each other add so."""
    # np.logaddexp is ten times slower than these vector loops.
    total = np.exp(first * _LN10)
    total += np.exp(second * _LN10)
    np.maximum(total, np.float32(SMALLEST_POWER), out=total)
    np.log(total, out=total)
    total *= np.float32(1.0) / _LN10
    return np.asarray(total)


def mask_parts(mel: RawMel, policy: AugmentPolicy, rng: np.random.Generator) -> None:
    """Overwrite drawn spans of time and of mel bins by the clip's mean, in place."""
    frames, bins = mel.shape
    fill = mel.mean()
    for _ in range(int(rng.integers(policy.time_masks + 1))):
        width = int(rng.integers(1 + min(policy.time_mask_frames, frames // 10)))
        start = int(rng.integers(frames - width + 1))
        mel[start : start + width] = fill
    for _ in range(int(rng.integers(policy.mel_masks + 1))):
        width = int(rng.integers(1 + policy.mel_mask_bins))
        start = int(rng.integers(bins - width + 1))
        mel[:, start : start + width] = fill


@lru_cache(maxsize=8)
def mel_centres_hz(num_mel_bins: int) -> RawMel:
    """Centre of gravity of each mel filter in Hz, (M,)."""
    filters = mel_filters(num_mel_bins)
    hz = np.arange(len(filters)) * (8000.0 / (len(filters) - 1))
    return np.asarray((hz @ filters) / filters.sum(axis=0), dtype=np.float32)


@lru_cache(maxsize=8)
def _fft_bins_per_mel(num_mel_bins: int) -> NDArray[np.float64]:
    """How many FFT bins a mel filter averages in effect, (M,)."""
    filters = mel_filters(num_mel_bins).astype(np.float64)
    return np.asarray(filters.sum(axis=0) ** 2 / (filters**2).sum(axis=0))


@lru_cache(maxsize=8)
def _cosines(num_mel_bins: int) -> RawMel:
    place = np.linspace(0.0, np.pi, num_mel_bins)
    return np.asarray(np.stack([np.cos(order * place) for order in (1, 2, 3, 4)]), dtype=np.float32)


@lru_cache(maxsize=4 * _WARP_STEPS)
def _warp_matrix(num_mel_bins: int, step: int) -> RawMel:
    """(M, M): column = output bin, linear between the two source bins of its frequency."""
    factor = 0.8 + 0.4 * step / (_WARP_STEPS - 1)
    centres = mel_centres_hz(num_mel_bins).astype(np.float64)
    knee = 4800.0 * min(factor, 1.0)  # above it the axis is bent so that 8 kHz meets 8 kHz
    source = np.where(
        centres <= knee,
        centres / factor,
        8000.0 - (8000.0 - knee / factor) * (8000.0 - centres) / (8000.0 - knee),
    )
    place = np.interp(source, centres, np.arange(num_mel_bins))
    low = np.minimum(place.astype(np.intp), num_mel_bins - 2)
    matrix = np.zeros((num_mel_bins, num_mel_bins), np.float32)
    columns = np.arange(num_mel_bins)
    matrix[low, columns] = 1.0 - (place - low)
    matrix[low + 1, columns] = place - low
    return matrix


def _happens(probability: float, rng: np.random.Generator) -> bool:
    return bool(rng.random() < probability)
