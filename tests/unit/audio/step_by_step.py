"""The model's preprocessing written out slowly, as the description of the reference has it."""

from functools import cache

import numpy as np


def slow_log_mel(pcm: np.ndarray, num_mel_bins: int) -> np.ndarray:
    """Steps 3 and 4 of the reference, one frame at a time, in float64."""
    pcm = np.concatenate([pcm, np.zeros(-len(pcm) % 1280)]).astype(np.float64)
    padded = np.concatenate([pcm[200:0:-1], pcm, pcm[-2:-202:-1]])
    window = np.array([0.5 * (1 - np.cos(2 * np.pi * n / 400)) for n in range(400)])
    filters = slow_filters(num_mel_bins)
    columns = []
    for frame in range(len(pcm) // 160 + 1):
        spectrum = np.fft.fft(window * padded[frame * 160 : frame * 160 + 400])[:201]
        columns.append(np.log10(np.maximum(filters @ np.abs(spectrum) ** 2, 1e-10)))
    mel = np.stack(columns, axis=1)
    return ((np.maximum(mel, mel.max() - 8) + 4) / 4)[:, :-1]


@cache
def slow_filters(num_mel_bins: int) -> np.ndarray:
    """Triangles between neighbours on Slaney's scale, each of area 2 / width, bin by bin."""

    def hz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * np.log(8) / np.log(6.4)
    edges = [hz(top * i / (num_mel_bins + 1)) for i in range(num_mel_bins + 2)]
    filters = np.zeros((num_mel_bins, 201))
    for band in range(num_mel_bins):
        low, middle, high = edges[band : band + 3]
        for k in range(201):
            rising, falling = (k * 40 - low) / (middle - low), (high - k * 40) / (high - middle)
            filters[band, k] = max(0.0, min(rising, falling)) * 2 / (high - low)
    return filters


def windows_step_by_step(items: list[np.ndarray], num_mel_bins: int) -> list[np.ndarray]:
    """Steps 3 to 7 of the reference: mel of each item, join, cut by 3,000 frames, pad with -1.5."""
    frames = [column for pcm in items for column in slow_log_mel(pcm, num_mel_bins).T]
    windows = []
    for start in range(0, len(frames), 3_000):
        part = frames[start : start + 3_000]
        part += [np.full(num_mel_bins, -1.5)] * (3_000 - len(part))
        windows.append(np.stack(part, axis=1))
    return windows
