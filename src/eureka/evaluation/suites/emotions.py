"""Emotion of a speaker: RAVDESS and CREMA-D, whose file names say what was acted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eureka.evaluation.counts import Counts, label_counts, one
from eureka.evaluation.suites.items import Inquiry, Item, ItemAudio
from eureka.evaluation.suites.suite import Metric, PublicSuite, Replies
from eureka.types import Task

QUESTION = "Which emotion does the speaker express?"

RAVDESS_EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgusted",
    "08": "surprised",
}
"""Third field of a file name -> emotion."""

CREMA_EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgusted",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
"""Third field of a file name -> emotion."""


def load_ravdess(folder: Path, split: str) -> list[Item]:
    """Actor_*/03-CHANNEL-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR.wav; channel 01 speaks, 02 sings."""
    channel = {"speech": "01", "song": "02"}[split]
    items = []
    for path in sorted(folder.glob(f"**/Actor_*/03-{channel}-*.wav")):
        fields = path.stem.split("-")
        items.append(_item(path, RAVDESS_EMOTIONS[fields[2]], f"actor: {fields[6]}"))
    return items


def load_crema(folder: Path, split: str) -> list[Item]:
    """AudioWAV/ACTOR_SENTENCE_EMOTION_LEVEL.wav."""
    root = folder / "AudioWAV" if (folder / "AudioWAV").is_dir() else folder
    items = []
    for path in sorted(root.glob("*_*_*_*.wav")):
        _, _, emotion, level = path.stem.split("_")
        items.append(_item(path, CREMA_EMOTIONS[emotion], f"level: {level}"))
    return items


def _item(path: Path, emotion: str, group: str) -> Item:
    return Item(path.stem, ItemAudio(path), emotion, groups=(group,))


def _asker(emotions: Mapping[str, str]) -> tuple[Inquiry, ...]:
    return (Inquiry("emotion", Task.ASK, QUESTION, labels=tuple(sorted(emotions.values()))),)


def _right(item: Item, replies: Replies) -> Counts:
    return one(replies["emotion"].text == item.reference)


def _f1(item: Item, replies: Replies) -> Counts:
    return label_counts(item.reference, replies["emotion"].text or None)


def _said(item: Item, replies: Replies) -> str:
    return replies["emotion"].text


_METRICS = (Metric("accuracy", "accuracy", _right), Metric("macro_f1", "macro-F1", _f1))

RAVDESS = PublicSuite(
    name="ravdess",
    title="RAVDESS, emotion",
    source="zenodo.org/record/1188976",
    licence="CC BY-NC-SA 4.0",
    layout="Actor_01 to Actor_24 with *.wav",
    splits=("speech", "song"),
    load=load_ravdess,
    ask=lambda item: _asker(RAVDESS_EMOTIONS),
    metrics=_METRICS,
    said=_said,
)

CREMA_D = PublicSuite(
    name="crema-d",
    title="CREMA-D, emotion",
    source="github.com/CheyneyComputerScience/CREMA-D",
    licence="ODbL 1.0",
    layout="AudioWAV/*.wav",
    splits=("all",),
    load=load_crema,
    ask=lambda item: _asker(CREMA_EMOTIONS),
    metrics=_METRICS,
    said=_said,
)
