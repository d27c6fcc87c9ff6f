"""Audio made on the spot: noise bursts with pauses, written as WAV without any audio library."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np

from eureka.types import SAMPLE_RATE_HZ, Pcm


def noise(seconds: float, seed: int = 0, amplitude: float = 0.1) -> Pcm:
    """White noise (S,) float32."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE_HZ))
    return np.clip(amplitude * samples, -1, 1).astype(np.float32)


def write_wav(path: Path, pcm: Pcm) -> Path:
    """Write pcm as 16-bit mono at 16 kHz; the path itself is returned."""
    path.write_bytes(wav_of(pcm))
    return path


def wav_of(pcm: Pcm) -> bytes:
    """Pcm as a WAV file of 16-bit mono at 16 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes((pcm * 32767).astype("<i2").tobytes())
    return file.getvalue()
