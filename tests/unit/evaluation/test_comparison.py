from __future__ import annotations

import json
from dataclasses import replace

import pytest

from eureka.errors import InvalidInputError
from eureka.evaluation import comparison
from eureka.evaluation.counts import ClassTally, one
from eureka.evaluation.report import Report, Row
from eureka.evaluation.run import write_items
from eureka.evaluation.suites.records import items_path


def report_of(rights: list[bool], wer: float = 0.1, **facts: object) -> Report:
    counts = {str(n): one(right) for n, right in enumerate(rights)}
    tally = ClassTally.of(list(counts.values()))
    rows = (
        Row("digits", "digits exact", tally.value, len(rights), tally.interval(), counts=counts),
        Row("wer", "word errors", wer, 50, (0.05, 0.12), higher_is_better=False),
        Row("left_out", "left out", float("nan"), 0, note="no data"),
    )
    return Report("nano", "dev", "tiny", rows, {"seed": 0, **facts})


def write(report: Report, path):
    report.write_json(path)
    write_items(report, items_path(path))
    return path


def test_report_compared_with_itself_shows_no_difference(tmp_path):
    path = write(report_of([n % 3 == 0 for n in range(60)]), tmp_path / "a.json")
    before, after, found = comparison.compare_files(path, path)
    assert [d.name for d in found] == ["digits", "wer"]
    assert [d.verdict for d in found] == ["same", "same"]
    assert found[0].paired is not None and found[0].paired.interval == (0.0, 0.0)
    text = comparison.differences_to_markdown(before, after, found)
    assert "No difference in any of 2 rows (2 are the same to the last item)." in text
    plain = comparison.differences_to_dict(found)
    assert [row["change"] for row in plain["rows"]] == [0.0, 0.0]


def test_change_within_its_interval_is_no_difference_and_beyond_it_is(tmp_path):
    rights = [n % 2 == 0 for n in range(200)]
    one_more = [*rights[:-1], True]
    many_more = [right or n % 8 == 1 for n, right in enumerate(rights)]
    first = write(report_of(rights), tmp_path / "a.json")
    verdicts = {}
    for name, after in (("one", one_more), ("many", many_more)):
        second = write(report_of(after), tmp_path / f"{name}.json")
        verdicts[name] = comparison.compare_files(first, second)[2][0].verdict
        verdicts[f"{name} back"] = comparison.compare_files(second, first)[2][0].verdict
    assert {verdicts["one"], verdicts["one back"]} == {"no difference"}
    assert (verdicts["many"], verdicts["many back"]) == ("better", "worse")


def test_row_without_items_is_held_against_its_own_interval():
    before, after = report_of([True, False]), report_of([True, False], wer=0.2)
    wer = comparison.compare_reports(before, after)[1]
    assert wer.paired is None and wer.is_outside_interval
    assert wer.gain == pytest.approx(-0.1)
    assert wer.verdict == "worse"
    table = comparison.differences_to_markdown(before, after, [wer])
    assert "| word errors | 0.100 | 0.200 | +0.100 | not paired |  | worse |" in table
    assert "0 are better and 1 worse" in table


def test_reports_of_other_items_are_not_paired(tmp_path):
    rights = [True, False] * 10
    first = write(report_of(rights, limit=20), tmp_path / "a.json")
    second = write(report_of(rights, limit=None), tmp_path / "b.json")
    assert comparison.compare_files(first, second)[2][0].paired is None


def test_other_suite_or_split_is_refused():
    made = report_of([True])
    for other in (replace(made, suite="mmau"), replace(made, split="train")):
        with pytest.raises(InvalidInputError, match="cannot be compared"):
            comparison.compare_reports(made, other)


def test_report_keeps_no_items_itself(tmp_path):
    path = write(report_of([True]), tmp_path / "a.json")
    assert "counts" not in json.loads(path.read_text())["rows"][0]
