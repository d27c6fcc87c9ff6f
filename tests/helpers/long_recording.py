"""Long recordings for tests of jobs: clips of the data pack, or tones and noise, joined with pauses.

Levels are those of real recordings: between clips lies room noise, digital silence, or soft rain.
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

LONGEST_CLIP_SECONDS = 8.0


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


def _pack_clips(folder: Path, rng: np.random.Generator) -> Iterator[tuple[str, Pcm]]:
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    fitting = [r["path"] for r in records if r["duration_s"] <= LONGEST_CLIP_SECONDS]
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
