"""A data set as files: JSON lines, WebDataset shards that `eureka train` reads, and a card.

The same records give the same bytes: nothing in them depends on when or by how many they were made.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from eureka.dataflux.card import card_text
from eureka.dataflux.checks import Candidate
from eureka.dataflux.dataset import Dataset
from eureka.dataflux.items import FLAC, Item
from eureka.dataflux.recipe import FluxRecipe
from eureka.dataflux.records import LETTERS
from eureka.types import SAMPLE_RATE_HZ

SHARD_ITEMS = 256
"""Audios of one shard: some 30 MB."""

QUESTIONS_NAME, CARD_NAME = "questions.jsonl", "README.md"


def export_dataset(dataset: Dataset, recipe: FluxRecipe, folder: Path) -> list[Path]:
    """Write the data set into `folder`, whole or not at all; the files.

    An export that is there is replaced.
    """
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    with (draft / QUESTIONS_NAME).open("w", encoding="utf-8") as lines:
        for candidate in dataset.kept:
            row = _question_row(candidate, dataset.outcomes[candidate.item].item)
            lines.write(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n")
    for number, items in enumerate(_shards(dataset)):
        _write_shard(draft / f"{recipe.name}-{number:05d}.tar", items, recipe.name)
    (draft / CARD_NAME).write_text(card_text(dataset, recipe), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(draft, folder)
    return sorted(folder.iterdir())


_Shard = list[tuple[Item, list[Candidate]]]


def _shards(dataset: Dataset) -> Iterator[_Shard]:
    by_item: dict[int, list[Candidate]] = {}
    for candidate in dataset.kept:
        by_item.setdefault(candidate.item, []).append(candidate)
    numbers = sorted(by_item)
    for start in range(0, len(numbers), SHARD_ITEMS):
        chosen = numbers[start : start + SHARD_ITEMS]
        yield [(dataset.outcomes[number].item, by_item[number]) for number in chosen]


def _write_shard(path: Path, items: _Shard, name: str) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as shard:
        for item, candidates in items:
            row = json.dumps(_clip_row(item, candidates, name), ensure_ascii=False, sort_keys=True)
            _add(shard, f"{item.number:07d}.json", row.encode())
            _add(shard, f"{item.number:07d}{FLAC}", item.flac())


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time, no owner: the same bytes every time
    member.size = len(content)
    shard.addfile(member, BytesIO(content))


def _clip_row(item: Item, candidates: list[Candidate], name: str) -> dict[str, Any]:
    """A row as manifests have them, with the questions."""
    return {
        "path": f"{item.number:07d}{FLAC}",
        "subset": "dataflux",
        "split": "train",
        "duration_s": round(item.seconds, 3),
        "sample_rate": SAMPLE_RATE_HZ,
        "license": "; ".join(item.source),
        "source": f"DataFlux {name}, {item.kind} of " + ", ".join(item.parts),
        "questions": [_training_row(candidate) for candidate in candidates],
    }


def _training_row(candidate: Candidate) -> dict[str, Any]:
    question = candidate.question
    return {
        "question": question.text,
        "options": list(question.options),
        "answer": candidate.answer,
        "category": question.path.category,
    }


def _question_row(candidate: Candidate, item: Item) -> dict[str, Any]:
    question, verdict = candidate.question, candidate.verdict
    path = question.path
    return {
        "id": candidate.id,
        "audio": f"{item.number:07d}{FLAC}",
        "audio_sha256": item.audio_id,
        "seconds": round(item.seconds, 3),
        "question": question.text,
        "options": list(question.options),
        "answer": candidate.answer,
        "letter": LETTERS[candidate.option],
        "path": [path.domain, path.group, path.thing, path.skill],
        "winner": verdict.winner.value,
        "consistency_with_caption": verdict.consistency.value,
        "kind": item.kind,
        "parts": list(item.parts),
        "source": list(item.source),
        "split": "train",
    }


def category_counts(dataset: Dataset) -> Counter[str]:
    """Kept questions a category."""
    return Counter(candidate.question.path.category for candidate in dataset.kept)
