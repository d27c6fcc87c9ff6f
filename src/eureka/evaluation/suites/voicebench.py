"""VoiceBench's spoken versions of text benchmarks: MMSU, OpenBookQA, AdvBench and IFEval, from parquet files.

The question is in the audio alone; nothing of the column `prompt`, which says it in text, goes to the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eureka.evaluation.counts import Counts, one
from eureka.evaluation.report import PaperFigure
from eureka.evaluation.suites import instructions
from eureka.evaluation.suites.choice_suites import PARSED, choice_suite
from eureka.evaluation.suites.items import LETTERS, Inquiry, Item, ItemAudio
from eureka.evaluation.suites.parquet_audio import rows_with_audio
from eureka.evaluation.suites.refusals import is_refusal
from eureka.evaluation.suites.suite import Metric, PublicSuite, Replies
from eureka.types import Task

SOURCE = "huggingface.co/datasets/hlt-lab/voicebench"
LICENCE = "Apache-2.0"
QWEN = "Qwen3-Omni-30B-A3B"
NUM_OPTIONS = 4

_OPTION = re.compile(r"^\s*([A-D])[.)]\s+(.+?)\s*$", re.MULTILINE)


def _rows(folder: Path, subset: str) -> Iterator[tuple[str, dict[str, Any], ItemAudio]]:
    """(domain, row, audio) of all files SUBSET/DOMAIN-00000-of-00001.parquet, by name."""
    root = folder / subset if (folder / subset).is_dir() else folder
    for path in sorted(root.glob("*.parquet")):
        domain = re.sub(r"-\d+-of-\d+$", "", path.stem)
        for row, audio in rows_with_audio(path):
            yield domain, row, ItemAudio(audio)


def _choice_items(folder: Path, subset: str) -> list[Item]:
    return [_choice_item(subset, n, *row) for n, row in enumerate(_rows(folder, subset))]


def _choice_item(subset: str, number: int, domain: str, row: dict[str, Any], audio: ItemAudio) -> Item:
    options = _spoken_options(row["prompt"])
    category = row.get("category") or domain
    return Item(
        item_id=f"{subset}/{category}/{row.get('question_id', number)}",
        audio=audio,
        reference=options[LETTERS.index(row["reference"].strip().upper())],
        options=options,
        groups=(f"category: {category}",) if subset == "mmsu" else (),
    )


def _spoken_options(prompt: str) -> tuple[str, ...]:
    """Texts of the options as the question says them; their letters where it does not."""
    texts = dict(_OPTION.findall(prompt))
    return tuple(texts.get(letter, letter) for letter in LETTERS[:NUM_OPTIONS])


def _asked(folder: Path, subset: str) -> list[Item]:
    """Items of a subset without options, with the instructions that a row may hold."""
    return [
        Item(f"{subset}/{row.get('key', number)}", audio, rules=_rules(row))
        for number, (_, row, audio) in enumerate(_rows(folder, subset))
    ]


def _rules(row: dict[str, Any]) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Instructions and their arguments; parquet fills the arguments of other instructions with nulls."""
    given = [
        {name: v for name, v in (kwargs or {}).items() if v is not None} for kwargs in row.get("kwargs", ())
    ]
    return tuple(zip(row.get("instruction_id_list", ()), given, strict=True))


def _listen(item: Item) -> tuple[Inquiry, ...]:
    return (Inquiry("answer", Task.ASK),)


def _refused(item: Item, replies: Replies) -> Counts:
    return one(is_refusal(replies["answer"].text))


def _whole(is_loose: bool) -> Metric:
    """Whether all instructions of an item were followed."""

    def count(item: Item, replies: Replies) -> Counts:
        return one(all(instructions.followed(item.rules, replies["answer"].text, is_loose)))

    name = "loose" if is_loose else "strict"
    return Metric(f"prompt_{name}", f"{name}, all instructions of a prompt", count)


def _each(is_loose: bool) -> Metric:
    """How many of the instructions were followed."""

    def count(item: Item, replies: Replies) -> Counts:
        followed = instructions.followed(item.rules, replies["answer"].text, is_loose)
        return one(sum(followed), len(followed))

    name = "loose" if is_loose else "strict"
    return Metric(f"instruction_{name}", f"{name}, single instructions", count)


_FOUR = (_whole(False), _each(False), _whole(True), _each(True))


def _mean_of_four(item: Item, replies: Replies) -> Counts:
    return {metric.name: pair for metric in _FOUR for pair in metric.count(item, replies).values()}


MMSU = choice_suite(
    name="mmsu",
    title="MMSU (spoken, VoiceBench)",
    source=SOURCE,
    licence=LICENCE,
    layout="mmsu/DOMAIN-00000-of-00001.parquet",
    splits=("test",),
    load=lambda folder, split: _choice_items(folder, "mmsu"),
    paper={("test", PARSED): PaperFigure(55.63, 38.03, 77.00, QWEN)},
)

OPENBOOKQA = choice_suite(
    name="openbookqa",
    title="OpenBookQA (spoken, VoiceBench)",
    source=SOURCE,
    licence=LICENCE,
    layout="openbookqa/test-00000-of-00001.parquet",
    splits=("test",),
    load=lambda folder, split: _choice_items(folder, "openbookqa"),
    paper={("test", PARSED): PaperFigure(69.23, 52.53, 92.31, QWEN)},
)

ADVBENCH = PublicSuite(
    name="advbench",
    title="AdvBench (spoken, VoiceBench)",
    source=SOURCE,
    licence=LICENCE,
    layout="advbench/test-00000-of-00001.parquet",
    splits=("test",),
    load=lambda folder, split: _asked(folder, "advbench"),
    ask=_listen,
    metrics=(Metric("refusals", "refused", _refused),),
    paper={("test", "refusals"): PaperFigure(99.81, None, 100.00, "Kimi-Audio-7B-Instruct")},
)

IFEVAL = PublicSuite(
    name="ifeval",
    title="IFEval (spoken, VoiceBench)",
    source=SOURCE,
    licence=LICENCE,
    layout="ifeval/test-00000-of-00001.parquet",
    splits=("test",),
    load=lambda folder, split: _asked(folder, "ifeval"),
    ask=_listen,
    metrics=(Metric("mean_of_four", "mean of the four below", _mean_of_four), *_FOUR),
    paper={("test", "mean_of_four"): PaperFigure(53.21, None, 81.17, QWEN)},
)
