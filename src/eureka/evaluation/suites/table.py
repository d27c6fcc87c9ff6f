"""One table like the paper's: a line a set, a column a checkpoint, the paper's own figures beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from eureka.evaluation.report import PaperFigure, Report, Row

PAPER_COLUMNS = (
    "Eureka-Audio-Instruct (paper's figure)",
    "Eureka-Audio-Base (paper's figure)",
    "best baseline (paper's figure)",
)

LEGEND = (
    "Values with 95 % bootstrap intervals over items are measured here. Columns marked as the paper's "
    "figures are copied from arXiv 2602.13954 and were not measured here; its text normalisation and some "
    "of its splits are unknown. ↓ marks errors, where less is better."
)


def paper_table(reports: Sequence[Report]) -> str:
    """Markdown table of the whole sets of all reports; equal rows of several checkpoints share a line."""
    checkpoints = list(dict.fromkeys(report.checkpoint for report in reports))
    head = ["set", *(f"`{name}`" for name in checkpoints), "items", *PAPER_COLUMNS]
    lines = [_line(head), _line(["---"] * len(head))]
    for suite, split, row in _keys(reports):
        found = {r.checkpoint: _row(r, row) for r in reports if (r.suite, r.split) == (suite, split)}
        lines.append(_table_line(checkpoints, {name: r for name, r in found.items() if r is not None}))
    return "\n".join([*lines, "", LEGEND]) + "\n"


def _keys(reports: Sequence[Report]) -> list[tuple[str, str, str]]:
    """(suite, split, row) of whole sets, once each, in order."""
    keys = [
        (report.suite, report.split, row.name) for report in reports for row in report.rows if not row.group
    ]
    return list(dict.fromkeys(keys))


def _row(report: Report, name: str) -> Row | None:
    return next((row for row in report.rows if row.name == name), None)


def _table_line(checkpoints: Sequence[str], found: dict[str, Row]) -> str:
    first = next(iter(found.values()))
    values = [shown(found[name]) if name in found else "" for name in checkpoints]
    title = first.title if first.higher_is_better else f"{first.title} ↓"
    items = str(max(row.num_clips for row in found.values()))
    return _line([title, *values, items, *_paper_cells(first.paper)])


def shown(row: Row) -> str:
    """A value as people read it, with its interval."""
    if not row.is_measured:
        return f"not measured: {row.note}"
    scale, digits = (100.0, 2) if row.unit == "%" else (1.0, 3)
    value = f"{scale * row.value:.{digits}f}"
    if row.interval is None or not all(map(math.isfinite, row.interval)):
        return value
    low, high = (f"{scale * end:.{digits}f}" for end in row.interval)
    return f"{value} ({low} to {high})"


def _paper_cells(paper: PaperFigure | None) -> list[str]:
    if paper is None:
        return ["", "", ""]
    best = "" if paper.best is None else f"{paper.best:.2f} {paper.best_name}"
    return [f"{paper.instruct:.2f}", "" if paper.base is None else f"{paper.base:.2f}", best]


def group_table(report: Report) -> str:
    """Markdown table of the parts of a set: a line a group, a column a metric; empty without groups."""
    groups = list(dict.fromkeys(row.group for row in report.rows if row.group))
    if not groups:
        return ""
    metrics = [row for row in report.rows if not row.group]
    head = ["part", "items", *(row.title.split(", ", 2)[-1] for row in metrics)]
    lines = [_line(head), _line(["---"] * len(head))]
    for group in groups:
        rows = [row for row in report.rows if row.group == group]
        lines.append(_line([group, str(rows[0].num_clips), *(shown(row) for row in rows)]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
