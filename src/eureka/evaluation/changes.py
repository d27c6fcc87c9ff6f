"""What two reports answered differently, item by item: what lies behind the change of a score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eureka.evaluation.heard_file import Key, answers_path, read_answers
from eureka.evaluation.hearing import Question
from eureka.evaluation.suites.records import Record, items_path, read_records


@dataclass(frozen=True, slots=True)
class ChangedItem:
    """One item that two checkpoints answered differently.

    Attributes:
        item: its name.
        asked: name of the inquiry, or task and question.
        reference: what is right, where the files know it.
        before: what A said.
        after: what B said.
        scores: names of the scores to which the item contributes something else now.
    """

    item: str
    asked: str
    reference: str
    before: str
    after: str
    scores: tuple[str, ...] = ()


def changed_items(first: Path, second: Path) -> list[ChangedItem]:
    """Items that both reports keep and answered differently, in the order of A; none without items."""
    if answers_path(first).is_file() and answers_path(second).is_file():
        return _changed_answers(read_answers(answers_path(first)), read_answers(answers_path(second)))
    if items_path(first).is_file() and items_path(second).is_file():
        return _changed_records(read_records(items_path(first)), read_records(items_path(second)))
    return []


def _changed_answers(before: Mapping[Key, str], after: Mapping[Key, str]) -> list[ChangedItem]:
    return [
        ChangedItem(clip, _asked(question), "", said, after[clip, question])
        for (clip, question), said in before.items()
        if (clip, question) in after and after[clip, question] != said
    ]


def _asked(question: Question) -> str:
    return " ".join(filter(None, (question.task.value, question.text)))


def _changed_records(before: Mapping[str, Record], after: Mapping[str, Record]) -> list[ChangedItem]:
    return [
        ChangedItem(name, inquiry, a.reference, reply.text, b.replies[inquiry].text, _changed_scores(a, b))
        for name, a in before.items()
        if (b := after.get(name)) is not None
        for inquiry, reply in a.replies.items()
        if inquiry in b.replies and b.replies[inquiry].text != reply.text
    ]


def _changed_scores(a: Record, b: Record) -> tuple[str, ...]:
    return tuple(name for name, counts in a.scores.items() if dict(b.scores.get(name, {})) != dict(counts))


def changes_to_markdown(changes: list[ChangedItem], limit: int) -> str:
    """A table of the first changes, and how many there are."""
    if not changes:
        return "No answer changed.\n"
    lines = [f"{len(changes)} answers changed; the first {min(limit, len(changes))}:", ""]
    lines += ["| item | asked | right | A | B | scores that changed |", "|---|---|---|---|---|---|"]
    for change in changes[:limit]:
        cells = (
            change.item,
            change.asked,
            change.reference,
            change.before,
            change.after,
            ", ".join(change.scores),
        )
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " / ")


def changes_to_list(changes: list[ChangedItem], limit: int) -> list[dict[str, Any]]:
    """Plain objects of the first changes."""
    return [asdict(change) for change in changes[:limit]]
