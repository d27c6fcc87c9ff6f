"""Listening questions of one's own: what DataFlux exports, or a data pack whose rows hold questions.

They are put as in training: plain, or with the options named, and answered by the option's own words.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from eureka.evaluation.counts import Counts, one
from eureka.evaluation.suites.choices import parse_choice
from eureka.evaluation.suites.items import Inquiry, Item, ItemAudio
from eureka.evaluation.suites.suite import Metric, PublicSuite, Replies
from eureka.training.manifest import MANIFEST_NAME, ChoiceQuestion, ManifestFolder, SourceClip, TarShards
from eureka.training.tasks import listed_question, plain_question
from eureka.types import Task

SPLITS = ("all", "dev", "train")


def load(folder: Path, split: str) -> list[Item]:
    """Questions of the shards *.tar in the folder, else of its manifest.jsonl; one item a question."""
    try:
        return [
            _item(source, number, question)
            for source in _sources(folder, split)
            for number, question in enumerate(source.clip.questions)
        ]
    except tarfile.TarError as error:
        raise ValueError(f"a shard is no tar file: {error}") from error


def _sources(folder: Path, split: str) -> Iterator[SourceClip]:
    shards = sorted(folder.glob("*.tar"))
    if not shards and not (folder / MANIFEST_NAME).is_file():
        raise FileNotFoundError(2, "neither shards nor a manifest", str(folder / MANIFEST_NAME))
    for part in ("dev", "train") if split == "all" else (split,):
        yield from TarShards(shards, part) if shards else ManifestFolder(folder, part)


def _item(source: SourceClip, number: int, question: ChoiceQuestion) -> Item:
    return Item(
        item_id=f"{source.clip.path}/{number}",
        audio=ItemAudio(source.audio),
        reference=question.answer,
        question=question.question,
        options=question.options,
        groups=(f"category: {question.category}",) if question.category else (),
    )


def _ask(item: Item) -> tuple[Inquiry, ...]:
    listed = listed_question(ChoiceQuestion(item.question, item.options, item.reference))
    return (
        Inquiry("plain", Task.ASK, plain_question(item.question), labels=item.options),
        Inquiry("listed", Task.ASK, listed, labels=item.options),
        Inquiry("answer", Task.ASK, listed),
    )


def _chosen(inquiry: str) -> Metric:
    def count(item: Item, replies: Replies) -> Counts:
        return one(replies[inquiry].text == item.reference)

    named = {"plain": "options scored", "listed": "options named and scored"}[inquiry]
    return Metric("accuracy" if inquiry == "plain" else "accuracy_listed", f"accuracy, {named}", count)


def _answered(item: Item, replies: Replies) -> Counts:
    return one(parse_choice(replies["answer"].text, item.options) == item.right_letter)


SUITE = PublicSuite(
    name="questions",
    title="listening questions",
    source="eureka dataflux export",
    licence="that of the recordings in it",
    layout="*.tar as dataflux exports them, or manifest.jsonl with questions in its rows",
    splits=SPLITS,
    load=load,
    ask=_ask,
    metrics=(
        _chosen("plain"),
        _chosen("listed"),
        Metric("accuracy_parsed", "accuracy, answer parsed", _answered),
    ),
    said=lambda item, replies: replies["plain"].text,
)
