"""What a run found weak, as DataFlux reads it: accuracy a category, and what was said instead of what."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eureka.evaluation.counts import ClassTally
from eureka.evaluation.suites.items import Item
from eureka.evaluation.suites.records import Record
from eureka.evaluation.suites.suite import PublicSuite

CATEGORY = "category: "
"""Prefix of the groups that are categories."""


def confusion_path(report: Path) -> Path:
    """Where the confusion of a report lies: beside it."""
    return report.with_suffix(".confusion.json")


def confusion_of(suite: PublicSuite, items: Sequence[Item], records: Sequence[Record]) -> dict[str, Any]:
    """Plain object: `categories`, the first metric of each; `confusion`, right -> said -> how often.

    Failed replies are no confusion.
    """
    assert suite.said is not None, "only suites that name what was said have a confusion"
    said: dict[str, Counter[str]] = {}
    for item, record in zip(items, records, strict=True):
        if record.error is None:
            said.setdefault(item.reference, Counter())[suite.said(item, record.replies)] += 1
    confusion = {right: dict(sorted(counts.items())) for right, counts in sorted(said.items())}
    return {"categories": _categories(suite, records), "confusion": confusion}


def _categories(suite: PublicSuite, records: Sequence[Record]) -> dict[str, float]:
    names = sorted({g.removeprefix(CATEGORY) for r in records for g in r.groups if g.startswith(CATEGORY)})
    first = suite.metrics[0].name
    return {
        name: ClassTally.of([r.scores[first] for r in records if CATEGORY + name in r.groups]).value
        for name in names
    }


def write_confusion(path: Path, confusion: dict[str, Any]) -> None:
    """Write the JSON file that a DataFlux recipe names as `questions.confusion`."""
    path.write_text(json.dumps(confusion, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
