"""FLEURS: sentences of Wikipedia read aloud; English and Mandarin."""

from __future__ import annotations

import csv
from pathlib import Path

from eureka.evaluation.report import PaperFigure
from eureka.evaluation.suites.items import Item, ItemAudio
from eureka.evaluation.suites.speech import english_suite, mandarin_suite
from eureka.evaluation.suites.suite import Loader

COLUMNS = ("id", "file_name", "raw_transcription", "transcription", "words", "num_samples", "gender")
"""Of the tab-separated files, which have no heading."""


def loader(language: str) -> Loader:
    """Reads data/LANGUAGE/SPLIT.tsv and data/LANGUAGE/audio/SPLIT/*.wav (unpacked from SPLIT.tar.gz)."""

    def load(folder: Path, split: str) -> list[Item]:
        root = next((r for r in (folder / "data" / language, folder / language) if r.is_dir()), folder)
        with open(root / f"{split}.tsv", encoding="utf-8", newline="") as lines:
            cells = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in cells]
        return [_item(root / "audio" / split, row) for row in rows]

    return load


def _item(audio: Path, row: dict[str, str]) -> Item:
    name = row["file_name"]
    return Item(name.removesuffix(".wav"), ItemAudio(audio / name), row["transcription"])


_SOURCE = "huggingface.co/datasets/google/fleurs"
_SPLITS = ("test", "dev", "train")

ENGLISH_SUITE = english_suite(
    name="fleurs-en",
    title="FLEURS, American English",
    source=_SOURCE,
    licence="CC BY 4.0",
    layout="data/en_us/test.tsv and data/en_us/audio/test/*.wav (unpack test.tar.gz there)",
    splits=_SPLITS,
    load=loader("en_us"),
    paper={("test", "wer"): PaperFigure(5.39, 5.73, 4.51, "Step-Audio-2-mini 8B")},
)

MANDARIN_SUITE = mandarin_suite(
    name="fleurs-zh",
    title="FLEURS, Mandarin",
    source=_SOURCE,
    licence="CC BY 4.0",
    layout="data/cmn_hans_cn/test.tsv and data/cmn_hans_cn/audio/test/*.wav (unpack test.tar.gz there)",
    splits=_SPLITS,
    load=loader("cmn_hans_cn"),
)
