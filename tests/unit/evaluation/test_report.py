import json

import pytest

from eureka.errors import InvalidInputError, NotFoundError
from eureka.evaluation import report
from eureka.evaluation.report import Report, Row


def make_report(value: float = 0.9, wer: float = 0.1) -> Report:
    rows = (
        Row("digits", "digits exact", value, 50, (0.85, 0.95), bar=0.88, ambition=0.95),
        Row("wer", "word errors", wer, 50, (0.05, 0.12), bar=0.06, ambition=0.02, higher_is_better=False),
        Row("left_out", "left out", float("nan"), 0, bar=0.5, note="no data"),
    )
    return Report("nano", "dev", "tiny", rows, {"seed": 0})


def test_row_bar_follows_direction_and_missing_value_gives_none():
    made = make_report()
    assert [row.meets_bar for row in made.rows] == [True, False, None]
    assert (made.num_bars_met, made.num_bars) == (1, 3)


def test_report_written_and_read_back_is_the_same(tmp_path):
    path = tmp_path / "new" / "report.json"
    made = make_report()
    made.write_json(path)
    again = report.read_report(path)
    assert again.to_dict() == made.to_dict()
    assert json.loads(path.read_text())["rows"][2]["value"] is None


def test_markdown_shows_bars_and_what_was_not_measured():
    text = make_report().to_markdown()
    assert "1 of 3 bars met" in text
    assert "| digits exact | 0.900 | 0.850 to 0.950 | ≥ 0.88 | ≥ 0.95 | yes | 50 |" in text
    assert "**no**" in text
    assert "not measured: no data" in text


def test_row_by_unknown_name_is_not_found():
    with pytest.raises(NotFoundError, match="digits"):
        make_report().row("nothing")


@pytest.mark.parametrize("content", ["no json", "[]", '{"format": "other"}'])
def test_read_report_of_other_content_is_invalid(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InvalidInputError):
        report.read_report(path)


def test_read_report_of_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError):
        report.read_report(tmp_path / "none.json")
