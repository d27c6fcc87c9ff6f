"""A data folder for training, of generated tones: packs, tokenizer and lexicon, made in about a second.

Every phone is a pair of tones of its own, so words can be told apart; no speech engine is needed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from eureka.training.align_clips import LEXICON_NAME
from eureka.training.feature_pack import FeaturePackWriter
from eureka.types import SAMPLE_RATE_HZ
from tests.helpers.tokenizers import small_nano_tokenizer

WORDS = {"badi": (7, 2, 10, 12), "kelo": (15, 8, 20, 13), "mane": (17, 1, 18, 8), "one": (28, 3, 18)}
"""Words and their phones."""

PHONE_FRAMES = 8
PAUSE_FRAMES = 12
SLOTS = {"coffeeDrink": "mocha", "size": "small"}


def write_training_folder(folder: Path, clips_of_a_kind: int = 8) -> Path:
    """Packs `train` and `synthetic`, `tokenizer/` and lexicon.json; the folder itself is returned."""
    rng = np.random.default_rng(0)
    with FeaturePackWriter(folder / "synthetic") as writer:
        for number in range(2 * clips_of_a_kind):
            text, pcm, phones = spoken(rng, 1 + number % 3)
            writer.add(pcm, clip_meta("synthetic_speech", number, text=text, phones=phones))
    with FeaturePackWriter(folder / "train") as writer:
        for number in range(clips_of_a_kind):
            _add_recorded(writer, number, rng)
    small_nano_tokenizer(folder / "tokenizer")
    (folder / LEXICON_NAME).write_text(json.dumps(WORDS), encoding="utf-8")
    return folder


def spoken(rng: np.random.Generator, num_words: int) -> tuple[str, np.ndarray, list[list[int]]]:
    """A text, its samples and its phones (id, first frame, end frame) at 100 frames/s, pauses between."""
    words = [str(word) for word in rng.choice(list(WORDS), num_words)]
    pieces, phones, at = [_quiet(PAUSE_FRAMES)], [], PAUSE_FRAMES
    for word in words:
        for phone in WORDS[word]:
            pieces.append(_tone(120.0 * phone, PHONE_FRAMES) + _tone(2500.0 + 100 * phone, PHONE_FRAMES))
            phones.append([phone, at, at + PHONE_FRAMES])
            at += PHONE_FRAMES
        pieces.append(_quiet(PAUSE_FRAMES))
        at += PAUSE_FRAMES
    pcm = np.concatenate(pieces)
    return " ".join(words), (pcm + rng.normal(0, 1e-3, len(pcm))).astype(np.float32), phones


def clip_meta(kind: str, number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"{kind}/{number}", "kind": kind, "split": "train", **more}


def _add_recorded(writer: FeaturePackWriter, number: int, rng: np.random.Generator) -> None:
    active = [[0.0, 0.8]]
    for kind, num_words in (("speechocean762", 3), ("fsdd", 1)):
        text, pcm, _ = spoken(rng, num_words)
        about = {"gender": "f", "age": 30, "speaker": f"s{number % 2}", "active": active}
        writer.add(pcm, clip_meta(kind, number, text=text, **about))
    writer.add(spoken(rng, 2)[1], clip_meta("coffee_orders", number, slots=SLOTS, active=active))
    noise = rng.normal(0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)
    label, pcm = (("rain", noise), ("dog_bark", _tone(500.0, 100)))[number % 2]
    writer.add(pcm, clip_meta("esc10", number, label=label, active=[[0.0, 1.0]]))
    writer.add(noise * 0.3, clip_meta("ambience", number, label="rain", active=[[0.0, 1.0]]))


def _tone(hertz: float, num_frames: int) -> np.ndarray:
    times = np.arange(num_frames * 160) / SAMPLE_RATE_HZ
    return 0.2 * np.sin(2 * np.pi * hertz * times)


def _quiet(num_frames: int) -> np.ndarray:
    return np.zeros(num_frames * 160)
