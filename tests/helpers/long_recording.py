"""Long recordings for tests of jobs: clips of the data pack, or tones and noise, joined with pauses.

Levels are those of real recordings: between clips lies room noise or digital silence. Another recording has
no pause at all: speech over music, or noise over noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eureka.audio.decode import decode_all
from eureka.types import SAMPLE_RATE_HZ, Pcm, Span
from tests.helpers.sounds import noise

ROOM_AMPLITUDE = 0.001
"""About -60 dBFS: a pause that is heard."""

RAIN_DBFS = -50.0
"""Soft rain; silence is below -70 dBFS."""

RAIN_SECONDS = 20.0

MUSIC_SHARE = 0.7
"""Level of music under speech, as a share of that of the speech: no pause is left."""

LONGEST_CLIP_SECONDS = 8.0

SPEECH = ("ljspeech", "read_speech", "speechocean762")
MUSIC = ("music_cc", "music_cc0", "ambience")
"""Subsets of the data pack."""


@dataclass(frozen=True)
class Placed:
    """A clip of the recording: where it came from, and where it lies."""

    name: str
    span: Span


@dataclass(frozen=True)
class Recording:
    """The joined samples, and the clips in them."""

    pcm: Pcm
    clips: tuple[Placed, ...]


def long_recording(seconds: float, data_folder: Path | None = None, seed: int = 0) -> Recording:
    """About `seconds` of clips with pauses of 0.3 to 3 s, every third of them digital silence.

    Args:
        seconds: the last clip may go a little beyond.
        data_folder: of the data pack; tones and noise are made without it.
        seed: of the choice of clips and pauses.
    """
    rng = np.random.default_rng(seed)
    clips = _pack_clips(data_folder, rng) if data_folder else _made_clips(rng)
    parts: list[Pcm] = []
    placed: list[Placed] = []
    num_samples = 0
    while num_samples < seconds * SAMPLE_RATE_HZ:
        name, pcm = next(clips)
        placed.append(Placed(name, Span(num_samples, num_samples + len(pcm))))
        pause = noise(float(rng.uniform(0.3, 3.0)), seed=len(placed), amplitude=ROOM_AMPLITUDE)
        parts += [pcm, pause * 0.0 if len(placed) % 3 == 0 else pause]
        num_samples += len(pcm) + len(pause)
    return Recording(np.concatenate(parts).astype(np.float32), tuple(placed))


def soft_rain(seconds: float, seed: int = 0) -> Pcm:
    """White noise (S,) at RAIN_DBFS."""
    return noise(seconds, seed, amplitude=float(10 ** (RAIN_DBFS / 20)))


def with_rain(pcm: Pcm) -> Pcm:
    """The recording, two seconds of digital silence, and RAIN_SECONDS of soft rain (S,)."""
    return np.concatenate([pcm, np.zeros(2 * SAMPLE_RATE_HZ, np.float32), soft_rain(RAIN_SECONDS)])


def recording_without_pause(seconds: float, data_folder: Path | None = None, seed: int = 0) -> Pcm:
    """So many seconds of speech over music, without any silence; of loud noise without the pack."""
    rng = np.random.default_rng(seed)
    num_samples = round(seconds * SAMPLE_RATE_HZ)
    if data_folder is None:
        swell = 1.0 + 0.3 * np.sin(2 * np.pi * 0.7 * np.arange(num_samples) / SAMPLE_RATE_HZ)
        return (noise(seconds, seed) * swell).astype(np.float32)
    speech = _joined(_pack_clips(data_folder, rng, SPEECH), num_samples)
    music = _joined(_pack_clips(data_folder, rng, MUSIC), num_samples)
    mixed = _levelled(speech) + MUSIC_SHARE * _levelled(music)
    return (0.1 * mixed).clip(-1, 1).astype(np.float32)


def _joined(clips: Iterator[tuple[str, Pcm]], num_samples: int) -> Pcm:
    """Clips one after another, (S,)."""
    parts: list[Pcm] = []
    while sum(map(len, parts)) < num_samples:
        parts.append(next(clips)[1])
    return np.concatenate(parts)[:num_samples]


def _levelled(pcm: Pcm) -> Pcm:
    """The same at level 1 throughout: what is soft for a quarter of a second is raised, up to 40 dB."""
    hop = SAMPLE_RATE_HZ // 4
    edges = np.arange(0, len(pcm) + hop, hop)
    power = [float(np.mean(pcm[start : start + hop] ** 2)) if start < len(pcm) else 0.0 for start in edges]
    gain = 1.0 / np.sqrt(np.maximum(power, 1e-4 * max(power)))
    return (pcm * np.interp(np.arange(len(pcm)), edges, gain)).astype(np.float32)


def _pack_clips(
    folder: Path, rng: np.random.Generator, subsets: tuple[str, ...] = ()
) -> Iterator[tuple[str, Pcm]]:
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    chosen = [r for r in records if not subsets or r["subset"] in subsets]
    fitting = [r["path"] for r in chosen if r["duration_s"] <= LONGEST_CLIP_SECONDS]
    while True:
        path = fitting[int(rng.integers(len(fitting)))]
        yield path, decode_all(folder / path)


def _made_clips(rng: np.random.Generator) -> Iterator[tuple[str, Pcm]]:
    number = 0
    while True:
        seconds, number = float(rng.uniform(0.5, LONGEST_CLIP_SECONDS)), number + 1
        if number % 2:
            yield f"noise {number}", noise(seconds, seed=number)
        else:
            n = np.arange(round(seconds * SAMPLE_RATE_HZ))
            hertz = float(rng.uniform(200, 2_000))
            beats = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * n / SAMPLE_RATE_HZ)
            tone = 0.3 * np.sin(2 * np.pi * hertz * n / SAMPLE_RATE_HZ) * beats
            yield f"tone {number}", tone.astype(np.float32)
