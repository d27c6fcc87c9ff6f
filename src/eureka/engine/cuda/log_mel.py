"""Log-mel and encoder windows on the device; `audio.log_mel` and `audio.encoder_input` say what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from eureka.audio.encoder_input import FRAMES_PER_REFERENCE_WINDOW, REFERENCE_PADDING, window_edges
from eureka.audio.log_mel import (
    DYNAMIC_RANGE,
    FRAMES_PER_AUDIO_TOKEN,
    HOP_LENGTH,
    N_FFT,
    SMALLEST_POWER,
    mel_filters,
    pad_to_token,
)
from eureka.types import Pcm


@dataclass(frozen=True, slots=True, eq=False)
class DeviceWindow:
    """One input of the encoder: log_mel (M, F) float32, and the audio tokens of it that are kept."""

    log_mel: Tensor
    num_audio_tokens: int


def device_windows(
    items: Sequence[Pcm],
    windowing: str,
    num_mel_bins: int,
    window_seconds: float,
    device: torch.device,
) -> list[DeviceWindow]:
    """What `build_encoder_windows` gives, on a device; arguments as there."""
    if windowing == "reference":
        return _reference_windows([log_mel(pcm, num_mel_bins, device) for pcm in items])
    pieces = (
        pcm[start:end] for pcm in items for start, end in pairwise(window_edges(len(pcm), window_seconds))
    )
    mels = [log_mel(piece, num_mel_bins, device) for piece in pieces]
    return [DeviceWindow(mel, mel.shape[1] // FRAMES_PER_AUDIO_TOKEN) for mel in mels]


def log_mel(pcm: Pcm, num_mel_bins: int, device: torch.device) -> Tensor:
    """Normalised log-mel (M, F) float32 of an utterance (S,) float32.

    Raises:
        InvalidAudioError: `pcm` has no samples (EMPTY_AUDIO).
    """
    samples = torch.from_numpy(np.ascontiguousarray(pad_to_token(pcm))).to(device)
    spectrum = torch.stft(
        samples,
        N_FFT,
        HOP_LENGTH,
        window=_window(device),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )  # (201, F + 1)
    power = _filters(num_mel_bins, device) @ (spectrum.real.square() + spectrum.imag.square())
    raw = power.clamp(min=SMALLEST_POWER).log10()
    floored = torch.maximum(raw, raw.max() - DYNAMIC_RANGE)
    return (floored[:, :-1] + 4.0) / 4.0


def _reference_windows(mels: Sequence[Tensor]) -> list[DeviceWindow]:
    if not mels:
        return []
    windows = []
    for part in torch.cat(list(mels), dim=1).split(FRAMES_PER_REFERENCE_WINDOW, dim=1):
        missing = FRAMES_PER_REFERENCE_WINDOW - part.shape[1]
        padded = functional.pad(part, (0, missing), value=REFERENCE_PADDING)
        windows.append(DeviceWindow(padded, part.shape[1] // FRAMES_PER_AUDIO_TOKEN))
    return windows


@cache
def _window(device: torch.device) -> Tensor:
    return torch.hann_window(N_FFT, device=device)


@cache
def _filters(num_mel_bins: int, device: torch.device) -> Tensor:
    """(M, 201)."""
    return torch.tensor(mel_filters(num_mel_bins).T, device=device).contiguous()
