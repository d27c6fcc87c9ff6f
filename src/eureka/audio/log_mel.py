"""Log-mel spectrogram of an utterance, as the model's encoder takes it (numpy only).

Covers padding to whole audio tokens, the Slaney filterbank, the raw log10 power and its
normalisation. Cutting into encoder windows is in `encoder_input`.

Letters: S samples, M mel bins, F mel frames (100 a second).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidAudioError
from eureka.types import SAMPLE_RATE_HZ, SAMPLES_PER_AUDIO_TOKEN, Pcm

N_FFT = 400
"""Samples a frame: 25 ms at 16 kHz."""

HOP_LENGTH = 160
"""Samples between frames: 10 ms at 16 kHz."""

FRAMES_PER_AUDIO_TOKEN = SAMPLES_PER_AUDIO_TOKEN // HOP_LENGTH
"""8 mel frames make one audio token of 80 ms."""

SMALLEST_POWER = 1e-10
"""Power below this counts as this: log10 never falls under -10."""

DYNAMIC_RANGE = 8.0
"""Decades kept below the loudest bin of the utterance (80 dB)."""

FRAMES_PER_BLOCK = 512
"""Frames transformed at once: the spectrum of a block (1.6 MiB) stays in cache."""

# Slaney's mel scale (Auditory Toolbox): linear up to 1 kHz at 200/3 Hz a mel, then 27 mels for
# each factor of 6.4.
_HZ_PER_LINEAR_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_LINEAR_MEL
_LOG_STEP = np.log(6.4) / 27.0

LogMel = NDArray[np.float32]
"""(M, F) float32."""


def pad_to_token(pcm: Pcm) -> Pcm:
    """Zeros to the right up to the next multiple of 1,280 samples (one audio token).

    Raises:
        InvalidAudioError: `pcm` has no samples (EMPTY_AUDIO).
    """
    if pcm.ndim != 1:
        raise ValueError(f"pcm must have the shape (S,), not {pcm.shape}")
    if not len(pcm):
        raise InvalidAudioError("the audio has no samples; at least 1 is needed", reason="EMPTY_AUDIO")
    missing = -len(pcm) % SAMPLES_PER_AUDIO_TOKEN
    pcm = pcm.astype(np.float32, copy=False)
    return np.pad(pcm, (0, missing)) if missing else pcm


def num_audio_tokens(num_samples: int) -> int:
    """How many audio tokens stand for `num_samples` samples: the ceiling of samples / 1,280."""
    return -(-num_samples // SAMPLES_PER_AUDIO_TOKEN)


@cache
def mel_filters(num_mel_bins: int = 128) -> NDArray[np.float32]:
    """Slaney's triangular filters of equal area, 0 to 8 kHz: (201, M) float32, read-only.

    Source: librosa.filters.mel(sr=16000, n_fft=400, norm="slaney"), which made Whisper's
    mel_filters.npz; computed here from the formula.
    """
    fft_hz = np.arange(N_FFT // 2 + 1) * (SAMPLE_RATE_HZ / N_FFT)
    top_mel = _hz_to_mel(SAMPLE_RATE_HZ / 2)
    edges_hz = _mel_to_hz(np.linspace(0.0, top_mel, num_mel_bins + 2))
    widths = np.diff(edges_hz)
    ramps = fft_hz[:, None] - edges_hz[None, :]  # (201, M + 2)
    rising = ramps[:, :-2] / widths[:-1]
    falling = -ramps[:, 2:] / widths[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters: NDArray[np.float32] = (triangles * (2.0 / (edges_hz[2:] - edges_hz[:-2]))).astype(np.float32)
    filters.setflags(write=False)
    return filters


def raw_log_mel(pcm: Pcm, num_mel_bins: int = 128) -> LogMel:
    """log10 of the mel power before floor and scale: (M, F) float32, F = 8 * audio tokens.

    The frame at the very end that the reference computes and drops is not part of it; see
    `log_mel` for what that means to the floor.

    Raises:
        InvalidAudioError: `pcm` has no samples (EMPTY_AUDIO).
    """
    without_last: LogMel = _log10_mel_power(pad_to_token(pcm), num_mel_bins)[:, :-1]
    return without_last


def normalise_log_mel(raw: LogMel, maximum: float | None = None) -> LogMel:
    """Floor at `maximum` - 8, then (v + 4) / 4; `maximum` is that of `raw` when omitted."""
    top = float(raw.max()) if maximum is None else maximum
    floored = np.maximum(raw, np.float32(top - DYNAMIC_RANGE))
    scaled: LogMel = (floored + np.float32(4.0)) / np.float32(4.0)
    return scaled


def log_mel(pcm: Pcm, num_mel_bins: int = 128) -> LogMel:
    """Normalised log-mel of the whole utterance, padded to whole audio tokens: (M, F) float32.

    The floor lies 8 under the maximum over all F + 1 frames; only then the last frame is dropped.

    Args:
        pcm: (S,) float32 in [-1, 1] at 16 kHz.
        num_mel_bins: M; the released model has 128.

    Raises:
        InvalidAudioError: `pcm` has no samples (EMPTY_AUDIO).
    """
    raw = _log10_mel_power(pad_to_token(pcm), num_mel_bins)
    return normalise_log_mel(raw[:, :-1], float(raw.max()))


def _log10_mel_power(pcm: Pcm, num_mel_bins: int) -> LogMel:
    """log10(max(power, 1e-10)) of all S / 160 + 1 centred frames: (M, F + 1)."""
    padded = np.pad(pcm, N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH]  # (F + 1, 400)
    filters = mel_filters(num_mel_bins)
    power = np.empty((len(frames), num_mel_bins), np.float32)
    for start in range(0, len(frames), FRAMES_PER_BLOCK):
        block = slice(start, start + FRAMES_PER_BLOCK)
        spectrum = np.fft.rfft(frames[block] * _hann_window())  # (frames, 201)
        np.matmul((spectrum.real**2 + spectrum.imag**2).astype(np.float32), filters, out=power[block])
    np.maximum(power, np.float32(SMALLEST_POWER), out=power)
    log_power: LogMel = np.ascontiguousarray(np.log10(power, out=power).T)  # (M, F + 1)
    return log_power


@cache
def _hann_window() -> NDArray[np.float32]:
    """Periodic Hann window of 400 samples."""
    phase = 2.0 * np.pi * np.arange(N_FFT) / N_FFT
    window: NDArray[np.float32] = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
    return window


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _HZ_PER_LINEAR_MEL
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (mels - _BREAK_MEL))
    return np.where(mels < _BREAK_MEL, mels * _HZ_PER_LINEAR_MEL, logarithmic)
