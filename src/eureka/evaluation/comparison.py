"""Two reports of one suite compared, row by row: paired over their items where both kept them.

Paired means that the same draws of items resample both, so that what is hard in both does not blur the
change. Without items, or where the two were measured on other items, B's value is held against A's own
interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eureka.errors import InvalidInputError
from eureka.evaluation.counts import Counts, PairedChange, paired_change
from eureka.evaluation.report import Report, Row, read_report
from eureka.evaluation.suites.records import items_path, read_row_counts

SAME_ITEMS_FACTS = ("limit", "seed", "data_sha256")
"""Facts that decide on which items a report was measured; the suite and the split beside them."""

RowCounts = Mapping[str, Mapping[str, Counts]]


@dataclass(frozen=True, slots=True)
class Difference:
    """The same row in two reports; `change` is B - A, positive `gain` means that B is better.

    Attributes:
        name: of the row.
        title: for people.
        before: A's value.
        after: B's value.
        higher_is_better: the row's direction.
        is_outside_interval: B's value lies outside A's own interval.
        paired: the change over the items that both have; None where it cannot be told.
    """

    name: str
    title: str
    before: float
    after: float
    higher_is_better: bool
    is_outside_interval: bool
    paired: PairedChange | None = None

    @property
    def change(self) -> float:
        """B - A."""
        return self.after - self.before

    @property
    def gain(self) -> float:
        """How much better B is, in the row's own direction."""
        return self.change if self.higher_is_better else -self.change

    @property
    def verdict(self) -> str:
        """`same` where nothing changed, `better` or `worse` beyond the interval, else `no difference`."""
        if self.change == 0 and (self.paired is None or self.paired.num_changed == 0):
            return "same"
        is_beyond = self.is_outside_interval if self.paired is None else self.paired.is_difference
        if not is_beyond:
            return "no difference"
        return "better" if self.gain > 0 else "worse"


def compare_reports(
    before: Report, after: Report, counts: tuple[RowCounts, RowCounts] = ({}, {})
) -> list[Difference]:
    """Rows that both reports measured, in the order of the first.

    Args:
        before: A.
        after: B.
        counts: row -> item -> contribution, of A and of B.

    Raises:
        InvalidInputError: reason DIFFERENT_SUITES: the reports are of other suites or splits.
    """
    if (before.suite, before.split) != (after.suite, after.split):
        sides = [f"{report.suite} on {report.split}" for report in (before, after)]
        raise InvalidInputError(f"{sides[0]} and {sides[1]} cannot be compared", reason="DIFFERENT_SUITES")
    later = {row.name: row for row in after.rows}
    return [
        _difference(a, b, _paired(a.name, counts))
        for a in before.rows
        if (b := later.get(a.name)) is not None and a.is_measured and b.is_measured
    ]


def compare_files(first: Path, second: Path) -> tuple[Report, Report, list[Difference]]:
    """Two reports and their differences, with what lies beside them.

    Raises:
        NotFoundError: there is no such report.
        InvalidInputError: a file is none, or see `compare_reports`.
    """
    before, after = read_report(first), read_report(second)
    facts = [[report.facts.get(name) for name in SAME_ITEMS_FACTS] for report in (before, after)]
    counts = (_counts_beside(first), _counts_beside(second)) if facts[0] == facts[1] else ({}, {})
    return before, after, compare_reports(before, after, counts)


def _counts_beside(report: Path) -> RowCounts:
    path = items_path(report)
    return read_row_counts(path) if path.is_file() else {}


def _paired(row: str, counts: tuple[RowCounts, RowCounts]) -> PairedChange | None:
    first, second = (side.get(row, {}) for side in counts)
    return paired_change(first, second) if first.keys() & second.keys() else None


def _difference(a: Row, b: Row, paired: PairedChange | None) -> Difference:
    is_outside = a.interval is not None and not a.interval[0] <= b.value <= a.interval[1]
    return Difference(a.name, a.title, a.value, b.value, a.higher_is_better, is_outside, paired)


def differences_to_dict(differences: list[Difference]) -> dict[str, Any]:
    """Plain JSON object of a comparison."""
    return {"rows": [_plain(d) for d in differences], "summary": summary(differences)}


def _plain(d: Difference) -> dict[str, Any]:
    paired = d.paired
    return {
        "name": d.name,
        "title": d.title,
        "before": d.before,
        "after": d.after,
        "change": d.change,
        "gain": d.gain,
        "higher_is_better": d.higher_is_better,
        "is_outside_interval": d.is_outside_interval,
        "change_interval": None if paired is None else list(paired.interval),
        "items": None if paired is None else paired.num_items,
        "items_changed": None if paired is None else paired.num_changed,
        "verdict": d.verdict,
    }


def differences_to_markdown(before: Report, after: Report, differences: list[Difference]) -> str:
    """A table of a comparison and a last line that sums it up."""
    lines = [f"A: `{before.checkpoint}` ({before.split})  B: `{after.checkpoint}` ({after.split})", ""]
    lines += [
        "| row | A | B | B - A | 95 % of the change | items changed | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_markdown(d) for d in differences]
    return "\n".join([*lines, "", summary(differences)]) + "\n"


def _markdown(d: Difference) -> str:
    interval, changed = "not paired", ""
    if d.paired is not None:
        low, high = d.paired.interval
        interval, changed = f"{low:+.3f} to {high:+.3f}", f"{d.paired.num_changed} of {d.paired.num_items}"
    shown = f"{d.before:.3f} | {d.after:.3f} | {d.change:+.3f}"
    return f"| {d.title} | {shown} | {interval} | {changed} | {d.verdict} |"


def summary(differences: list[Difference]) -> str:
    """One line: how many rows are better, worse, not different, and the very same."""
    verdicts = [d.verdict for d in differences]
    better, worse = verdicts.count("better"), verdicts.count("worse")
    if not better and not worse:
        same = verdicts.count("same")
        return f"No difference in any of {len(verdicts)} rows ({same} are the same to the last item)."
    return f"Of {len(verdicts)} rows {better} are better and {worse} worse; the others do not differ."
