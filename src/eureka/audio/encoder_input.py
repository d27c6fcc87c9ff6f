"""Encoder windows of a request: all its audio items as log-mel, cut as the checkpoint wants.

`reference` follows the released model to the letter: the log-mel of each item, all items joined in
time, windows of 3,000 frames, the last one padded with a constant. `per_item` gives each item, and
each window of a long item, its true length.

Letters: S samples, M mel bins, F mel frames (100 a second).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from eureka.audio.log_mel import FRAMES_PER_AUDIO_TOKEN, LogMel, log_mel, num_audio_tokens
from eureka.types import SAMPLE_RATE_HZ, SAMPLES_PER_AUDIO_TOKEN, Pcm

FRAMES_PER_REFERENCE_WINDOW = 3_000
"""30 s, the input of Whisper's encoder."""

REFERENCE_PADDING = -1.5
"""(log10(1e-10) + 4) / 4: what an empty band is after normalisation, not the floor of the item."""


@dataclass(frozen=True, slots=True)
class EncoderWindow:
    """One input of the encoder.

    Attributes:
        log_mel: (M, F) float32, F a multiple of 8.
        num_audio_tokens: audio tokens of this window that are kept; the rest is padding.
    """

    log_mel: LogMel
    num_audio_tokens: int


def build_encoder_windows(
    items: Sequence[Pcm], windowing: str, num_mel_bins: int = 128, window_seconds: float = 30.0
) -> list[EncoderWindow]:
    """Windows of all items in order; their kept tokens, joined, are the tokens of the items in order.

    Args:
        items: audio items in order of appearance, each (S,) float32 at 16 kHz.
        windowing: `reference` or `per_item` (the checkpoint's field).
        num_mel_bins: M.
        window_seconds: longest window with `per_item`; `reference` always has 30 s.

    Raises:
        InvalidAudioError: an item has no samples (EMPTY_AUDIO).
    """
    if windowing == "reference":
        return _reference_windows(items, num_mel_bins)
    if windowing == "per_item":
        return [window for pcm in items for window in _item_windows(pcm, num_mel_bins, window_seconds)]
    raise ValueError(f"windowing must be reference or per_item, not {windowing!r}")


def count_audio_tokens(items: Sequence[Pcm]) -> list[int]:
    """Audio tokens of each item, the same in both modes."""
    return [num_audio_tokens(len(pcm)) for pcm in items]


def window_edges(num_samples: int, window_seconds: float) -> list[int]:
    """Samples at which windows of an item begin and the last one ends, with `per_item`.

    An item longer than a window is cut into equal parts of whole tokens, so that none is a short rest without
    context; the last edge may lie behind the item, at the end of its last token.
    """
    longest_tokens = max(1, int(window_seconds * SAMPLE_RATE_HZ) // SAMPLES_PER_AUDIO_TOKEN)
    total_tokens = max(1, num_audio_tokens(num_samples))
    num_windows = -(-total_tokens // longest_tokens)
    return [i * total_tokens // num_windows * SAMPLES_PER_AUDIO_TOKEN for i in range(num_windows + 1)]


def _reference_windows(items: Sequence[Pcm], num_mel_bins: int) -> list[EncoderWindow]:
    """The floor of each item is its own; a window may hold the end of one item and the next."""
    if not items:
        return []
    stream = np.concatenate([log_mel(pcm, num_mel_bins) for pcm in items], axis=1)  # (M, sum of F)
    windows = []
    for start in range(0, stream.shape[1], FRAMES_PER_REFERENCE_WINDOW):
        part = stream[:, start : start + FRAMES_PER_REFERENCE_WINDOW]
        missing = FRAMES_PER_REFERENCE_WINDOW - part.shape[1]
        padded = np.pad(part, ((0, 0), (0, missing)), constant_values=REFERENCE_PADDING)
        windows.append(EncoderWindow(padded, part.shape[1] // FRAMES_PER_AUDIO_TOKEN))
    return windows


def _item_windows(pcm: Pcm, num_mel_bins: int, window_seconds: float) -> list[EncoderWindow]:
    """Each window with its own floor."""
    mels = [
        log_mel(pcm[start:end], num_mel_bins)
        for start, end in pairwise(window_edges(len(pcm), window_seconds))
    ]
    return [EncoderWindow(mel, mel.shape[1] // FRAMES_PER_AUDIO_TOKEN) for mel in mels]
