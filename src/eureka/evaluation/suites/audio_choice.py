"""MMAU and MMAR: choice questions about sounds, speech and music; one JSON list each, audio beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eureka.errors import InvalidInputError
from eureka.evaluation.report import PaperFigure
from eureka.evaluation.suites.choice_suites import PARSED, choice_suite
from eureka.evaluation.suites.items import Item, ItemAudio

QWEN = "Qwen3-Omni-30B-A3B"


def load_mmau(folder: Path, split: str) -> list[Item]:
    """Questions of mmau-test-mini.json or mmau-test.json; the answers of the large one are not public."""
    rows = _rows(folder / f"mmau-{split}.json")
    return [_item(folder, row, row["audio_id"], ("task", "difficulty", "sub-category")) for row in rows]


def load_mmar(folder: Path, split: str) -> list[Item]:
    """Questions of MMAR-meta.json."""
    rows = _rows(folder / "MMAR-meta.json")
    return [_item(folder, row, row["audio_path"], ("modality", "category", "sub-category")) for row in rows]


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list):
        raise InvalidInputError(f"{path} holds no list of questions", reason="BAD_DATASET")
    return rows


def _item(folder: Path, row: dict[str, Any], audio: str, fields: tuple[str, ...]) -> Item:
    options = tuple(str(option).strip() for option in row["choices"])
    answer = row.get("answer")
    if not answer:
        message = f"question {row['id']!r} has no answer: this split is scored by its makers only"
        raise InvalidInputError(message, reason="NO_ANSWERS")
    return Item(
        item_id=str(row["id"]),
        audio=ItemAudio(folder / audio.removeprefix("./")),
        reference=_right_option(str(answer).strip(), options),
        question=row["question"].strip(),
        options=options,
        groups=tuple(f"{name}: {row[name]}" for name in fields if row.get(name)),
    )


def _right_option(answer: str, options: tuple[str, ...]) -> str:
    """The option meant by an answer that differs by case or letter only; the answer itself otherwise."""
    if answer in options:
        return answer
    plain = [option for option in options if option.casefold() == answer.casefold()]
    lettered = [option for option in options if option.split(") ", 1)[-1] == answer.split(") ", 1)[-1]]
    return next(iter(plain or lettered), answer)


MMAU = choice_suite(
    name="mmau",
    title="MMAU",
    source="github.com/Sakshi113/MMAU",
    licence="terms of its makers; audio of the sets that it was drawn from",
    layout="mmau-test-mini.json and test-mini-audios/*.wav",
    splits=("test-mini", "test"),
    load=load_mmau,
    paper={("test-mini", PARSED): PaperFigure(74.67, 63.42, 74.77, "Audio Flamingo 3 8B")},
)

MMAR = choice_suite(
    name="mmar",
    title="MMAR",
    source="huggingface.co/datasets/BoJack/MMAR",
    licence="CC BY-NC 4.0",
    layout="MMAR-meta.json and audio/*.wav",
    splits=("test",),
    load=load_mmar,
    paper={("test", PARSED): PaperFigure(56.20, 46.80, 67.10, QWEN)},
)
