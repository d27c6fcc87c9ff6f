"""results.json: goals and rows of several benchmarks in one file, and the same as Markdown."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pace.figures import Row, Skipped

REPOSITORY = Path(__file__).resolve().parent.parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results.json"

Report = dict[str, Any]


def machine() -> str:
    """Processor and cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def conditions() -> Report:
    """Where, of what, and when."""
    git = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True
    )
    return {
        "machine": machine(),
        "commit": git.stdout.strip(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def read_report(path: Path) -> Report:
    """What the file holds; an empty report without one."""
    if not path.is_file():
        return {"goals": {}, "rows": []}
    report: Report = json.loads(path.read_text(encoding="utf-8"))
    return {**report, "goals": report.get("goals", {}), "rows": report.get("rows", [])}


def merge(report: Report, rows: Sequence[Row], where: Report) -> Report:
    """The report with these rows in place of older ones of their names.

    Machine, commit and date of the report are those of the latest rows; each row keeps its own, so that a
    file filled by several runs says which figure comes from where. A skipped row takes an old goal away.
    """
    names = {row.name for row in rows}
    goals = {name: goal for name, goal in report["goals"].items() if name not in names}
    for row in rows:
        if row.is_goal and not isinstance(row.figure, Skipped):
            goals[row.name] = row.figure.to_goal()
    kept = [old for old in report["rows"] if old.get("name") not in names]
    return {
        "goals": dict(sorted(goals.items())),
        **where,
        "rows": kept + [{**row.to_dict(), **where, "load": load()} for row in rows],
    }


def load() -> float:
    """Processes that wanted to run, over the last minute."""
    return round(os.getloadavg()[0], 1)


def add_rows(path: Path, rows: Sequence[Row]) -> None:
    """Merge rows into the file, which is there in full or as it was."""
    report = merge(read_report(path), rows, conditions())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def to_markdown(report: Report, names: Sequence[str] = ()) -> str:
    """Tables of ratios, of values and of what was skipped; only rows of these names where any are given."""
    rows = [row for row in report["rows"] if not names or row["name"] in names]
    parts = [
        _table(RATIO_HEAD, [_ratio_line(row) for row in rows if "ratio" in row]),
        _table(VALUE_HEAD, [_value_line(row) for row in rows if "value" in row]),
        _table(SKIPPED_HEAD, [(row["name"], row["skipped"]) for row in rows if "skipped" in row]),
    ]
    return "\n\n".join(part for part in parts if part)


RATIO_HEAD = ("row", "ratio", "of a round", "ours", "peer", "unit", "best of: ratio, ours, peer", "what")
VALUE_HEAD = ("row", "value", "unit", "limit", "spread", "what")
SKIPPED_HEAD = ("row", "left out, for")


def _ratio_line(row: Mapping[str, Any]) -> tuple[str, ...]:
    best = f"{row['best_ratio']:.3g}, {row['best_ours']:.3g}, {row['best_peer']:.3g}"
    numbers = (f"{row['ours']:.3g}", f"{row['peer']:.3g}")
    return (row["name"], f"{row['ratio']:.3g}", _spread(row), *numbers, row["unit"], best, row["note"])


def _value_line(row: Mapping[str, Any]) -> tuple[str, ...]:
    limit = "" if row["limit"] is None else f"{row['limit']:g}"
    return (row["name"], f"{row['value']:.4g}", row["unit"], limit, _spread(row), row["note"])


def _spread(row: Mapping[str, Any]) -> str:
    return " to ".join(f"{value:.3g}" for value in row["spread"])


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return ""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in rows)
