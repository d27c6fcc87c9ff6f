"""Sound events: which of fifty one is (ESC-50), and what is heard from when to when (DESED)."""

from __future__ import annotations

import csv
from pathlib import Path

from eureka.evaluation.counts import Counts, label_counts, one
from eureka.evaluation.metrics import TimedEvent, normalise_text
from eureka.evaluation.suites.items import Inquiry, Item, ItemAudio
from eureka.evaluation.suites.sound_events import event_counts, tag_counts
from eureka.evaluation.suites.suite import Metric, PublicSuite, Replies
from eureka.types import Task

ESC_SPLITS = ("all", "esc10", "fold1", "fold2", "fold3", "fold4", "fold5")

DESED_WORDS: dict[str, tuple[str, ...]] = {
    "Alarm_bell_ringing": ("alarm", "bell", "ringing", "telephone", "siren", "buzzer"),
    "Blender": ("blender", "mixer"),
    "Cat": ("cat", "meow", "meowing", "kitten"),
    "Dishes": ("dishes", "dish", "plates", "cutlery", "crockery"),
    "Dog": ("dog", "bark", "barking", "puppy"),
    "Electric_shaver_toothbrush": ("shaver", "toothbrush", "razor", "shaving"),
    "Frying": ("frying", "sizzling", "fry", "sizzle"),
    "Running_water": ("water", "tap", "faucet", "shower"),
    "Speech": ("speech", "speaking", "talking", "speaks", "talks", "voice", "says", "man", "woman", "child"),
    "Vacuum_cleaner": ("vacuum", "vacuuming", "hoover"),
}
"""Class -> words by which a phrase of a caption names it; the first class that has one is meant."""


def load_esc50(folder: Path, split: str) -> list[Item]:
    """Clips of meta/esc50.csv; `esc10` are the ten classes of the small set."""
    with open(folder / "meta" / "esc50.csv", encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if _is_in(split, row)]
    labels = ESC10_LABELS if split == "esc10" else ESC50_LABELS
    return [_esc_item(folder, row, labels) for row in rows]


def _esc_item(folder: Path, row: dict[str, str], labels: tuple[str, ...]) -> Item:
    audio, category = ItemAudio(folder / "audio" / row["filename"]), row["category"].replace("_", " ")
    return Item(row["filename"], audio, category, options=labels, groups=(f"fold: {row['fold']}",))


def _is_in(split: str, row: dict[str, str]) -> bool:
    if split == "esc10":
        return row["esc10"] == "True"
    return split in ("all", f"fold{row['fold']}")


ESC10_LABELS = (
    "chainsaw",
    "clock tick",
    "crackling fire",
    "crying baby",
    "dog",
    "helicopter",
    "rain",
    "rooster",
    "sea waves",
    "sneezing",
)

ESC50_LABELS = tuple(
    sorted(
        (
            *ESC10_LABELS,
            *("pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow", "crickets", "chirping birds"),
            *(
                "water drops",
                "wind",
                "pouring water",
                "toilet flush",
                "thunderstorm",
                "clapping",
                "breathing",
            ),
            *("coughing", "footsteps", "laughing", "brushing teeth", "snoring", "drinking sipping"),
            *("door wood knock", "mouse click", "keyboard typing", "door wood creaks", "can opening"),
            *("washing machine", "vacuum cleaner", "clock alarm", "glass breaking", "siren", "car horn"),
            *("engine", "train", "church bells", "airplane", "fireworks", "hand saw"),
        )
    )
)
"""Categories of the fifty classes, blanks for underscores."""


def _classify(item: Item) -> tuple[Inquiry, ...]:
    return (Inquiry("label", Task.CLASSIFY, labels=item.options),)


def _right(item: Item, replies: Replies) -> Counts:
    return one(replies["label"].text == item.reference)


def _f1(item: Item, replies: Replies) -> Counts:
    return label_counts(item.reference, replies["label"].text or None)


def load_desed(folder: Path, split: str) -> list[Item]:
    """Recordings of metadata/eval/public.tsv or metadata/validation/validation.tsv with their events."""
    root = folder / "dataset" if (folder / "dataset").is_dir() else folder
    place = {"public": ("eval", "public"), "validation": ("validation", "validation")}[split]
    with open(root.joinpath("metadata", *place).with_suffix(".tsv"), encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    events: dict[str, list[TimedEvent]] = {row["filename"]: [] for row in rows}
    for row in rows:
        if row["event_label"]:  # a recording without events has a row of its own
            event = TimedEvent(row["event_label"], float(row["onset"]), float(row["offset"]))
            events[row["filename"]].append(event)
    audio = root.joinpath("audio", *place)
    return [
        Item(name, ItemAudio(audio / name), events=tuple(found)) for name, found in sorted(events.items())
    ]


def desed_class(phrase: str) -> str | None:
    """The class that a phrase of a caption names; None where it names none."""
    words = set(normalise_text(phrase).split())
    return next((name for name, marks in DESED_WORDS.items() if words & set(marks)), None)


def _captioned(item: Item) -> tuple[Inquiry, ...]:
    return (Inquiry("caption", Task.CAPTION),)


def _found(replies: Replies) -> list[TimedEvent]:
    named = ((desed_class(event.kind), event) for event in replies["caption"].events)
    return [TimedEvent(kind, event.start_seconds, event.end_seconds) for kind, event in named if kind]


def _event_f1(item: Item, replies: Replies) -> Counts:
    return event_counts(item.events, _found(replies))


def _micro_event_f1(item: Item, replies: Replies) -> Counts:
    pairs = list(event_counts(item.events, _found(replies)).values())
    return one(sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs))


def _tag_f1(item: Item, replies: Replies) -> Counts:
    phrases = (desed_class(phrase) for phrase in replies["caption"].text.split(","))
    found = _found(replies) + [TimedEvent(kind, 0.0, 0.0) for kind in phrases if kind]
    return tag_counts(item.events, found)


ESC50 = PublicSuite(
    name="esc50",
    title="ESC-50",
    source="github.com/karolpiczak/ESC-50",
    licence="CC BY-NC 3.0 (ESC-10: CC BY)",
    layout="meta/esc50.csv and audio/*.wav",
    splits=ESC_SPLITS,
    load=load_esc50,
    ask=_classify,
    metrics=(Metric("accuracy", "accuracy", _right), Metric("macro_f1", "macro-F1", _f1)),
    said=lambda item, replies: replies["label"].text,
)

DESED = PublicSuite(
    name="desed",
    title="DESED, sound events",
    source="github.com/turpaultn/DESED",
    licence="MIT; audio under the terms of its uploaders",
    layout="dataset/metadata/eval/public.tsv and dataset/audio/eval/public/*.wav",
    splits=("public", "validation"),
    load=load_desed,
    ask=_captioned,
    metrics=(
        Metric("event_f1", "event F1, mean over classes, collar 0.2 s", _event_f1),
        Metric("event_f1_micro", "event F1, all classes together", _micro_event_f1),
        Metric("tag_f1", "F1 of classes named at all, mean over classes", _tag_f1),
    ),
)
