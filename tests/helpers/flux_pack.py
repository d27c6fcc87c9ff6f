"""A data pack of generated train clips for runs of DataFlux: tones under labels and words."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np

from eureka.types import SAMPLE_RATE_HZ

_SOUNDS = ("dog_bark", "rain", "sea_waves", "chainsaw", "rooster", "clock_tick", "piano", "wind")
_WORDS = ("she likes tea", "turn left here", "it is late now", "we call it bear", "one two three four")


def write_flux_pack(folder: Path) -> Path:
    """Write audio and manifest.jsonl; one clip is of the split `dev`. The folder is returned."""
    rows: list[dict[str, Any]] = []

    def add(subset: str, seconds: float, **about: Any) -> None:
        path = f"{subset}/{len(rows)}.wav"
        _write_tone(folder / path, seconds, hertz=180.0 + 41 * len(rows))
        row = {"path": path, "subset": subset, "split": "train", "duration_s": seconds, **about}
        rows.append(row | {"sample_rate": SAMPLE_RATE_HZ, "license": "CC0-1.0", "source": "generated"})

    for label in _SOUNDS:
        add("esc10", 2.0, label=label, active=[[0.3, 1.6]])
    for number, text in enumerate(_WORDS):
        add("speechocean762", 1.5, text=text, speaker=f"s{number}", age=30, gender="mf"[number % 2])
    add("esc10", 2.0, label="helicopter", active=[[0.0, 2.0]])
    rows[-1]["split"] = "dev"
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return folder


def _write_tone(path: Path, seconds: float, hertz: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = 0.2 * np.sin(2 * np.pi * hertz * times) * (np.sin(2 * np.pi * 3 * times) > -0.5)
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes((tone * 32767).astype("<i2").tobytes())
