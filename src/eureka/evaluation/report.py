"""The report of an evaluation: rows with bars, as JSON and as a Markdown table; two reports compared."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from eureka.errors import InvalidInputError, NotFoundError
from eureka.evaluation.counts import Counts

FORMAT = "eureka-evaluation-1"
"""Stands in each JSON report; `read_report` refuses others."""


@dataclass(frozen=True, slots=True)
class PaperFigure:
    """What the Eureka-Audio paper reports for a metric on a split; None where it reports nothing.

    Attributes:
        instruct: Eureka-Audio-Instruct.
        base: Eureka-Audio-Base.
        best: the best baseline in its table.
        best_name: which that is.
    """

    instruct: float
    base: float | None = None
    best: float | None = None
    best_name: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number.

    Attributes:
        name: stable key, lower_snake.
        title: what was measured, for people.
        value: the number; NaN where nothing could be measured (`note` says why).
        interval: 95 % bootstrap interval over clips, where one makes sense.
        num_clips: clips behind the number.
        bar: what must be reached; None for rows that only inform.
        ambition: what would be good.
        higher_is_better: direction of bar and ambition.
        note: how it was measured, or why it was not.
        group: the part of the set that it is about; empty for the whole.
        unit: `%` where people read it in percent; the value itself is a share of 1.
        paper: what the Eureka-Audio paper reports, in the unit.
        counts: item -> what it contributes; kept beside the report, never in it.
    """

    name: str
    title: str
    value: float
    num_clips: int
    interval: tuple[float, float] | None = None
    bar: float | None = None
    ambition: float | None = None
    higher_is_better: bool = True
    note: str = ""
    group: str = ""
    unit: str = ""
    paper: PaperFigure | None = None
    counts: Mapping[str, Counts] = field(default_factory=dict, repr=False)

    @property
    def is_measured(self) -> bool:
        """Whether there is a number at all."""
        return math.isfinite(self.value)

    @property
    def meets_bar(self) -> bool | None:
        """Whether the value reaches the bar; None without a bar or a value."""
        return self._reaches(self.bar)

    @property
    def meets_ambition(self) -> bool | None:
        """Whether the value reaches the ambition; None without one or without a value."""
        return self._reaches(self.ambition)

    def _reaches(self, goal: float | None) -> bool | None:
        if goal is None or not self.is_measured:
            return None
        return self.value >= goal if self.higher_is_better else self.value <= goal


@dataclass(frozen=True, slots=True)
class Report:
    """All rows of one run, and what made them."""

    suite: str
    split: str
    checkpoint: str
    rows: tuple[Row, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def row(self, name: str) -> Row:
        """The row of that name.

        Raises:
            NotFoundError: there is none.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise NotFoundError(f"no row {name!r} in this report; there are {[r.name for r in self.rows]}")

    @property
    def num_bars_met(self) -> int:
        """Rows whose bar is reached."""
        return sum(row.meets_bar is True for row in self.rows)

    @property
    def num_bars(self) -> int:
        """Rows that have a bar."""
        return sum(row.bar is not None for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON object; a value that is no number becomes null."""
        return {
            "format": FORMAT,
            "suite": self.suite,
            "split": self.split,
            "checkpoint": self.checkpoint,
            "bars_met": self.num_bars_met,
            "bars": self.num_bars,
            "rows": [_plain_row(row) for row in self.rows],
            "facts": self.facts,
        }

    def write_json(self, path: Path) -> None:
        """Write the JSON form; the folder is made. What rows keep of single items goes elsewhere."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    def to_markdown(self) -> str:
        """A heading line and one table, rows in order."""
        head = (
            f"`{self.checkpoint}` on {self.split}: {self.num_bars_met} of {self.num_bars} bars met\n\n"
            "| row | value | 95 % interval | bar | ambition | met | clips |\n|---|---|---|---|---|---|---|\n"
        )
        return head + "".join(_markdown_row(row) for row in self.rows)


def _plain_row(row: Row) -> dict[str, Any]:
    plain = asdict(replace(row, counts={})) | {
        "meets_bar": row.meets_bar,
        "meets_ambition": row.meets_ambition,
    }
    del plain["counts"]
    plain["value"] = row.value if row.is_measured else None
    if row.interval is not None:
        plain["interval"] = list(row.interval) if all(map(math.isfinite, row.interval)) else None
    return plain


def _markdown_row(row: Row) -> str:
    met = {True: "yes", False: "**no**", None: ""}[row.meets_bar]
    if row.meets_ambition:
        met = "yes, and the ambition"
    interval = f"{row.interval[0]:.3f} to {row.interval[1]:.3f}" if row.interval and row.is_measured else ""
    sign = "≥" if row.higher_is_better else "≤"
    bar = f"{sign} {row.bar:g}" if row.bar is not None else ""
    ambition = f"{sign} {row.ambition:g}" if row.ambition is not None else ""
    value = f"{row.value:.3f}" if row.is_measured else f"not measured: {row.note}"
    return f"| {row.title} | {value} | {interval} | {bar} | {ambition} | {met} | {row.num_clips} |\n"


def read_report(path: Path) -> Report:
    """Read a JSON report back.

    Raises:
        NotFoundError: no such file.
        InvalidInputError: the file holds no report of this format.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"no report at {path}") from error
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path} is no JSON report: {error}") from error
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise InvalidInputError(f"{path} is no report of format {FORMAT}")
    rows = tuple(_row_from(item) for item in plain["rows"])
    return Report(plain["suite"], plain["split"], plain["checkpoint"], rows, plain.get("facts", {}))


def _row_from(plain: dict[str, Any]) -> Row:
    values = {k: v for k, v in plain.items() if k in Row.__dataclass_fields__}
    values["value"] = float("nan") if values["value"] is None else values["value"]
    values["interval"] = tuple(values["interval"]) if values.get("interval") else None
    values["paper"] = PaperFigure(**values["paper"]) if values.get("paper") else None
    return Row(**values)
