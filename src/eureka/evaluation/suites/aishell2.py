"""AISHELL-2: Mandarin commands and sentences, recorded by iPhones, Android phones and a microphone."""

from __future__ import annotations

from pathlib import Path

from eureka.evaluation.report import PaperFigure
from eureka.evaluation.suites.items import Item, ItemAudio
from eureka.evaluation.suites.speech import mandarin_suite

SPLITS = ("iOS/test", "iOS/dev", "Android/test", "Android/dev", "Mic/test", "Mic/dev")


def load(folder: Path, split: str) -> list[Item]:
    """Utterances of CHANNEL/PART/{wav.scp,trans.txt}, with or without AISHELL-DEV-TEST-SET/ above."""
    inner = folder / "AISHELL-DEV-TEST-SET"
    root = (inner if inner.is_dir() else folder) / split
    paths, texts = _table(root / "wav.scp"), _table(root / "trans.txt")
    return [
        Item(name, ItemAudio(root / paths[name]), texts[name]) for name in sorted(paths.keys() & texts.keys())
    ]


def _table(path: Path) -> dict[str, str]:
    """Key and value of each line, which a tab or blanks part."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(None, 1) for line in lines if line.strip())
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


SUITE = mandarin_suite(
    name="aishell2",
    title="AISHELL-2",
    source="aishelltech.com/aishell_2 (dev and test set)",
    licence="academic use, on application",
    layout="AISHELL-DEV-TEST-SET/iOS/test/{wav.scp,trans.txt,wav/SPEAKER/*.wav}",
    splits=SPLITS,
    load=load,
    paper={("iOS/test", "cer"): PaperFigure(3.10, 3.17, 2.33, "Step-Audio-2-mini 8B")},
)
