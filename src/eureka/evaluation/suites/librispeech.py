"""LibriSpeech: English audiobooks, clean and other."""

from __future__ import annotations

from pathlib import Path

from eureka.evaluation.report import PaperFigure
from eureka.evaluation.suites.items import Item, ItemAudio
from eureka.evaluation.suites.speech import english_suite

KIMI = "Kimi-Audio-7B-Instruct"


def load(folder: Path, split: str) -> list[Item]:
    """Utterances of SPLIT/READER/CHAPTER/READER-CHAPTER.trans.txt, with or without LibriSpeech/ above."""
    root = folder / "LibriSpeech" if (folder / "LibriSpeech").is_dir() else folder
    if not (root / split).is_dir():
        raise FileNotFoundError(2, "no such folder", str(root / split))
    items = []
    for transcript in sorted((root / split).glob("*/*/*.trans.txt")):
        for line in transcript.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            items.append(Item(name, ItemAudio(transcript.parent / f"{name}.flac"), text))
    return items


SUITE = english_suite(
    name="librispeech",
    title="LibriSpeech",
    source="openslr.org/12",
    licence="CC BY 4.0",
    layout="LibriSpeech/test-clean/READER/CHAPTER/*.flac and *.trans.txt",
    splits=("test-clean", "test-other", "dev-clean", "dev-other"),
    load=load,
    paper={
        ("test-clean", "wer"): PaperFigure(1.46, 1.59, 1.33, KIMI),
        ("test-other", "wer"): PaperFigure(3.24, 3.34, 2.57, KIMI),
    },
)
