from __future__ import annotations

from eureka.evaluation.report import PaperFigure, Report, Row, read_report
from eureka.evaluation.suites.table import group_table, paper_table

TITLE = "LibriSpeech, test-clean, WER"
PAPER = PaperFigure(1.46, 1.59, 1.33, "Kimi-Audio-7B-Instruct")


def report(checkpoint: str, value: float) -> Report:
    rows = (
        Row(
            "wer",
            "LibriSpeech, test-clean, WER",
            value,
            9,
            (0.1, 0.3),
            None,
            None,
            False,
            unit="%",
            paper=PAPER,
        ),
        Row("wer [x]", TITLE, 0.5, 4, (0.2, 0.8), group="x", unit="%"),
    )
    return Report("librispeech", "test-clean", checkpoint, rows)


def test_paper_figures_stand_in_columns_of_their_own_and_are_marked():
    head, _, line, _, legend = paper_table([report("a", 0.2)]).splitlines()
    assert head.count("(paper's figure)") == 3
    assert line.startswith("| LibriSpeech, test-clean, WER ↓ | 20.00 (10.00 to 30.00) | 9 |")
    assert line.endswith("| 1.46 | 1.59 | 1.33 Kimi-Audio-7B-Instruct |")
    assert "not measured here" in legend


def test_checkpoints_share_a_line_and_other_sets_have_their_own():
    other = Report("mmau", "test-mini", "b", (Row("accuracy", "MMAU", float("nan"), 0, note="none"),))
    lines = paper_table([report("a", 0.2), report("b", 0.25), other]).splitlines()[2:4]
    assert "| 20.00 (10.00 to 30.00) | 25.00 (10.00 to 30.00) | 9 |" in lines[0]
    assert lines[1] == "| MMAU |  | not measured: none | 0 |  |  |  |"


def test_groups_have_a_table_of_their_own():
    assert group_table(report("a", 0.2)).splitlines()[2] == "| x | 4 | 50.00 (20.00 to 80.00) |"
    assert group_table(Report("s", "t", "a", ())) == ""


def test_paper_figures_survive_the_report(tmp_path):
    path = tmp_path / "a.json"
    report("a", 0.2).write_json(path)
    assert read_report(path) == report("a", 0.2)
