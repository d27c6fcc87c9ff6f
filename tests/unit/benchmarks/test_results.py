"""results.json: the schema that others read, and merging of runs."""

from __future__ import annotations

import json
from pathlib import Path

from pace.figures import Ratio, Row, Skipped, Value
from pace.results import add_rows, merge, read_report, to_markdown

RATIO = Ratio(7.5, 0.5, 3.75, "ms a step", (7.0, 8.0), (8.0, 0.45, 3.6), 9)
FIRST = {"machine": "A, 2 cores", "commit": "aaaaaaa", "date": "2026-01-01"}
SECOND = {"machine": "B, 4 cores", "commit": "bbbbbbb", "date": "2026-01-02"}
EMPTY = {"goals": {}, "rows": []}


def test_report_holds_goals_machine_commit_and_date() -> None:
    report = merge(EMPTY, [Row("C1_fast", RATIO), Row("C9", Value(1.2, "s", 5.0))], FIRST)

    assert report["goals"] == {
        "C1_fast": {"ratio": 7.5, "ours": 0.5, "peer": 3.75, "unit": "ms a step", "spread": [7.0, 8.0]},
        "C9": {"value": 1.2, "unit": "s", "limit": 5.0},
    }
    assert {name: report[name] for name in FIRST} == FIRST


def test_rows_that_are_no_goals_stand_among_the_rows_only() -> None:
    report = merge(EMPTY, [Row("C1_bare", RATIO, is_goal=False)], FIRST)
    assert report["goals"] == {}
    assert report["rows"][0]["best_ratio"] == 8.0


def test_merge_keeps_goals_of_other_runs_and_where_they_come_from() -> None:
    before = merge(EMPTY, [Row("C1_fast", RATIO), Row("C4", RATIO)], FIRST)
    after = merge(before, [Row("C4", Value(1.0, "s")), Row("C2", RATIO)], SECOND)

    assert set(after["goals"]) == {"C1_fast", "C2", "C4"}
    assert after["goals"]["C4"] == {"value": 1.0, "unit": "s", "limit": None}
    assert after["machine"] == "B, 4 cores"
    assert {row["name"]: row["commit"] for row in after["rows"]} == {
        "C1_fast": "aaaaaaa",
        "C4": "bbbbbbb",
        "C2": "bbbbbbb",
    }


def test_merge_takes_an_old_goal_away_when_its_row_is_skipped_now() -> None:
    before = merge(EMPTY, [Row("C2", RATIO)], FIRST)
    after = merge(before, [Row("C2", Skipped("no compiler"))], SECOND)
    assert after["goals"] == {}
    assert after["rows"][0]["skipped"] == "no compiler"


def test_add_rows_fills_one_file_in_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "build" / "results.json"
    add_rows(path, [Row("C1_fast", RATIO)])
    add_rows(path, [Row("C9", Value(1.2, "s", 5.0))])

    assert set(json.loads(path.read_text(encoding="utf-8"))["goals"]) == {"C1_fast", "C9"}
    assert list(path.parent.iterdir()) == [path]


def test_file_of_another_benchmark_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"goals": {"J1": {"ratio": 1.0}}, "machine": "A"}), encoding="utf-8")
    add_rows(path, [Row("C9", Value(1.2, "s", 5.0))])
    assert set(read_report(path)["goals"]) == {"J1", "C9"}


def test_markdown_has_a_table_each_for_ratios_values_and_what_was_left_out() -> None:
    rows = [
        Row("C1_fast", RATIO, "a | b"),
        Row("C9", Value(1.2, "s", 5.0)),
        Row("C2", Skipped("no a|b")),
    ]
    text = to_markdown(merge(EMPTY, rows, FIRST))

    assert "| C1_fast | 7.5 | 7 to 8 | 0.5 | 3.75 | ms a step | 8, 0.45, 3.6 |" in text
    assert "| C9 | 1.2 | s | 5 |" in text
    assert "| C2 | no a\\|b |" in text
    assert text.count("\n\n") == 2


def test_markdown_of_some_names_leaves_the_others_out() -> None:
    report = merge(EMPTY, [Row("C1_fast", RATIO), Row("C9", Value(1.2, "s"))], FIRST)
    assert "C9" not in to_markdown(report, ["C1_fast"])
