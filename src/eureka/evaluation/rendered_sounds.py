"""Sounds computed from noise and sines, for demos and tests where no recordings are at hand.

Simple models of how each sound comes about: drops, blades, strokes, swells. They are no recordings and
stand in no evaluation row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eureka.errors import NotFoundError
from eureka.types import SAMPLE_RATE_HZ, Pcm

_Wave = NDArray[np.float64]

LEVEL_DBFS = -24.0
"""Root mean square of a rendered sound where it sounds, about that of the recordings."""


def render_sound(label: str, seconds: float, seed: int) -> Pcm:
    """A sound of that label, (S,) float32 at 16 kHz, faded in and out over 20 ms.

    Raises:
        NotFoundError: no renderer for the label; `RENDERED_LABELS` names all.
    """
    if label not in _RENDERERS:
        raise NotFoundError(f"no renderer for {label!r}; there are {', '.join(RENDERED_LABELS)}")
    draw = np.random.default_rng([seed, RENDERED_LABELS.index(label)])
    wave = _RENDERERS[label](round(seconds * SAMPLE_RATE_HZ), draw)
    loud = np.sqrt(np.mean(wave**2)) + 1e-12
    levelled = wave / max(loud / 10 ** (LEVEL_DBFS / 20), float(np.abs(wave).max()) / 0.9)
    faded: Pcm = (levelled * _fade(len(wave))).astype(np.float32)
    return faded


def _fade(length: int) -> _Wave:
    ramp = np.minimum(np.arange(length), np.arange(length)[::-1]) / (0.02 * SAMPLE_RATE_HZ)
    return np.minimum(ramp, 1.0)


def _coloured(length: int, draw: np.random.Generator, gain: Callable[[_Wave], _Wave]) -> _Wave:
    """Noise with an amplitude spectrum of `gain(frequency in Hz)`."""
    hz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE_HZ)
    return np.fft.irfft(np.fft.rfft(draw.normal(size=length)) * gain(hz), n=length)


def _band(low_hz: float, high_hz: float) -> Callable[[_Wave], _Wave]:
    """Soft band pass, 12 dB an octave on either side."""
    return lambda hz: 1 / (1 + (low_hz / np.maximum(hz, 1)) ** 2) / (1 + (hz / high_hz) ** 2)


def _rain(length: int, draw: np.random.Generator) -> _Wave:
    """A bed of hiss and single drops on it."""
    wave = 0.5 * _coloured(length, draw, _band(600, 6000))
    for start in draw.integers(0, length, size=max(1, length * 60 // SAMPLE_RATE_HZ)):
        drop = _ring(draw.uniform(1500, 5000), 0.004, draw.uniform(0.2, 1.2))[: length - start]
        wave[start : start + len(drop)] += drop
    return wave


def _ring(hz: float, decay_seconds: float, gain: float) -> _Wave:
    """A decaying sine of eight decay times."""
    seconds = np.arange(int(8 * decay_seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    ring: _Wave = gain * np.sin(2 * np.pi * hz * seconds) * np.exp(-seconds / decay_seconds)
    return ring


def _clock_tick(length: int, draw: np.random.Generator) -> _Wave:
    """Two kinds of stroke in turn, half a second or a second apart."""
    wave = 1e-4 * draw.normal(size=length)
    step = int(draw.choice([0.5, 1.0]) * SAMPLE_RATE_HZ)
    tones = [draw.uniform(1800, 2600), draw.uniform(2600, 3800)]
    for number, start in enumerate(range(int(0.05 * SAMPLE_RATE_HZ), length, step)):
        stroke = _ring(tones[number % 2], 0.006, 1.0)
        stroke[: len(stroke) // 3] += 0.5 * draw.normal(size=len(stroke) // 3)
        part = stroke[: length - start]
        wave[start : start + len(part)] += part
    return wave


def _helicopter(length: int, draw: np.random.Generator) -> _Wave:
    """Blades that cut through low noise eleven to fourteen times a second."""
    seconds = np.arange(length) / SAMPLE_RATE_HZ
    phase = (seconds * draw.uniform(11, 14)) % 1
    beat = np.exp(-phase * 5) + 0.12
    hiss = 0.05 * _coloured(length, draw, _band(500, 3000))
    wave: _Wave = beat * _coloured(length, draw, _band(60, 450)) + hiss
    return wave


def _sea_waves(length: int, draw: np.random.Generator) -> _Wave:
    """Broad noise that swells and breaks every few seconds."""
    seconds = np.arange(length) / SAMPLE_RATE_HZ
    phase = (seconds / draw.uniform(3.0, 5.0) + draw.uniform()) % 1
    swell = 0.15 + np.sin(np.pi * phase) ** 3
    wave: _Wave = swell * _coloured(length, draw, lambda hz: 1 / np.sqrt(np.maximum(hz, 80)))
    return wave


def _chainsaw(length: int, draw: np.random.Generator) -> _Wave:
    """A rough two-stroke motor: a sawtooth that wavers, through a resonant box, with noise."""
    wander = np.cumsum(_coloured(length, draw, _band(0.5, 6)))
    hz = draw.uniform(90, 130) * (1 + 0.08 * wander / (np.abs(wander).max() + 1e-9))
    motor = 2 * ((np.cumsum(hz) / SAMPLE_RATE_HZ) % 1) - 1
    grit, hiss = draw.normal(size=(2, length))
    wave: _Wave = np.tanh(3 * motor) * (1 + 0.5 * grit) + 0.3 * hiss
    return wave


def _bell(length: int, draw: np.random.Generator) -> _Wave:
    """Inharmonic partials of a struck bell, struck again every 1.5 s."""
    wave = np.zeros(length)
    base = draw.uniform(400, 900)
    for start in range(0, length, int(1.5 * SAMPLE_RATE_HZ)):
        for ratio, gain in (
            (0.5, 0.4),
            (1, 1),
            (1.19, 0.6),
            (1.56, 0.5),
            (2, 0.6),
            (2.66, 0.3),
            (3.01, 0.25),
        ):
            partial = _ring(base * ratio, 0.6 / ratio, gain)[: length - start]
            wave[start : start + len(partial)] += partial
    return wave


_RENDERERS: dict[str, Callable[[int, np.random.Generator], _Wave]] = {
    "rain": _rain,
    "clock tick": _clock_tick,
    "helicopter": _helicopter,
    "sea waves": _sea_waves,
    "chainsaw": _chainsaw,
    "bell": _bell,
}

RENDERED_LABELS = tuple(_RENDERERS)
"""Labels that `render_sound` knows."""
