"""A data pack of generated audio with a few clips of every subset that evaluation reads."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np

from eureka.types import SAMPLE_RATE_HZ

_SOUNDS = ("dog_bark", "rain", "sea_waves", "chainsaw")
_WAKE_WORDS = ("alexa", "smart mirror", "view glass")
_DIGITS = ("zero", "one", "two", "seven", "nine")
_SENTENCES = ("we call it bear", "she likes tea", "it's late", "turn left here")
_ORDERS: tuple[dict[str, str], ...] = (
    {"coffeeDrink": "latte", "numberOfShots": "single shot"},
    {"coffeeDrink": "mocha", "size": "large"},
)


def write_small_pack(folder: Path) -> Path:
    """Write audio and manifest.jsonl, all of the split `dev` but one clip; the folder is returned."""
    rows: list[dict[str, Any]] = []

    def add(subset: str, seconds: float, **about: Any) -> None:
        path = f"{subset}/{len(rows)}.wav"
        _write_tone(folder / path, seconds, hertz=200.0 + 37 * len(rows))
        row = {"path": path, "subset": subset, "split": "dev", "duration_s": seconds, **about}
        rows.append(row | {"sample_rate": SAMPLE_RATE_HZ, "license": "CC0-1.0", "source": "generated"})

    for label in _SOUNDS * 2:
        add("esc10", 2.0, label=label, active=[[0.1, 1.9]])
    for text in _DIGITS * 2:
        add("fsdd", 0.4, text=text, speaker="ann")
    for text in _WAKE_WORDS:
        add("wake_words", 0.8, text=text)
    for slots in _ORDERS:
        add("coffee_orders", 1.5, intent="orderDrink", slots=slots)
    for number, text in enumerate(_SENTENCES * 6):
        add("speechocean762", 3.0, text=text, speaker=f"s{number}", age=8 + 8 * (number % 2), gender="f")
    add("read_speech", 2.5, text="he could wait no longer", speaker="r1")
    add("esc10", 2.0, label="rooster", active=[[0.0, 2.0]])
    rows[-1]["split"] = "train"
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return folder


def _write_tone(path: Path, seconds: float, hertz: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = 0.2 * np.sin(2 * np.pi * hertz * times)
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes((tone * 32767).astype("<i2").tobytes())
