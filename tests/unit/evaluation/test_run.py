import argparse
import json

import pytest

from eureka.errors import InvalidInputError, NotFoundError
from eureka.evaluation import run
from eureka.evaluation.arguments import add_arguments
from eureka.evaluation.report import read_report
from eureka.evaluation.suites.records import items_path
from tests.helpers.small_pack import write_small_pack
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return write_small_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def parsed(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def test_evaluate_nano_writes_a_report_that_compare_reads(pack, checkpoint, tmp_path, capsys):
    path = tmp_path / "a.json"
    words = ("nano", "--limit", "2", "--parts", "digits,orders", "--workers", "1", "--output", str(path))
    assert run.main(parsed(*words), checkpoint, pack) == 0
    assert "FSDD, one digit exact by classify" in capsys.readouterr().out
    report = read_report(path)
    assert report.checkpoint == str(checkpoint)
    assert {row.name for row in report.rows} >= {"digit_classify", "orders_slot_f1"}
    assert all(row.value >= 0 and row.num_clips == 2 for row in report.rows)
    assert path.with_suffix(".md").read_text().startswith(f"`{checkpoint}` on dev")
    assert run.main(parsed("compare", str(path), str(path), "--format", "json"), checkpoint, pack) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["change"] for row in rows] == [0.0] * len(report.rows)
    assert {row["verdict"] for row in rows} == {"same"}
    assert all(row["items"] == 2 for row in rows)


def test_nano_twice_gives_the_same_numbers_clip_by_clip(pack, checkpoint, tmp_path, capsys):
    paths = [tmp_path / name for name in ("a.json", "b.json")]
    for path in paths:
        words = ("nano", "--limit", "4", "--parts", "digits,orders", "--workers", "1", "--output", str(path))
        assert run.main(parsed(*words), checkpoint, pack) == 0
    first, second = (read_report(path).rows for path in paths)
    assert first == second
    items = [items_path(path).read_bytes() for path in paths]
    assert items[0] == items[1]


class Stopped(Exception):
    """What a test stops a run by."""


def test_nano_that_broke_off_asks_only_what_is_missing(pack, checkpoint, tmp_path):
    """The first run breaks off in its second part; the next hears what it had not, and reports the same."""
    options = {"limit": 3, "num_workers": 1, "parts": ["digits", "wake_words"]}
    whole = run.evaluate_checkpoint(checkpoint, pack, **options)
    answers = tmp_path / "a.answers.jsonl"

    def stop_in_second_part(text):
        if text.startswith("wake_words"):
            raise Stopped

    with pytest.raises(Stopped):
        run.evaluate_checkpoint(checkpoint, pack, answers=answers, progress=stop_in_second_part, **options)
    told = []
    again = run.evaluate_checkpoint(checkpoint, pack, answers=answers, progress=told.append, **options)
    assert again.rows == whole.rows
    assert {line.split(":")[0] for line in told} == {"wake_words"}


def test_compare_shows_the_answers_of_clips_that_changed(pack, checkpoint, tmp_path, capsys):
    other = write_tiny_checkpoint(tmp_path / "other", seed=5)
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for folder, path in zip((checkpoint, other), paths, strict=True):
        words = ("nano", "--limit", "3", "--parts", "digits", "--workers", "1", "--output", str(path))
        assert run.main(parsed(*words), folder, pack) == 0
    capsys.readouterr()
    words = ("compare", *map(str, paths), "--format", "json", "--show", "2")
    assert run.main(parsed(*words), checkpoint, pack) == 0
    changed = json.loads(capsys.readouterr().out)["changed"]
    assert len(changed) == 2
    assert all(each["before"] != each["after"] and each["item"] for each in changed)


def test_evaluate_tells_progress(pack, checkpoint):
    told = []
    run.evaluate_checkpoint(
        checkpoint, pack, limit=1, parts=["wake_words"], num_workers=1, progress=told.append
    )
    assert told[-1] == "wake_words: transcribe 1/1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nano", "--limit", "0"), "at least 1"),
        (("nano", "--parts", "digits,nothing"), "nothing"),
        (("compare",), "two reports"),
        (("nano", "a.json"), "compare"),
    ],
)
def test_evaluate_with_wrong_arguments_is_refused_before_any_work(words, message, pack, tmp_path):
    with pytest.raises(InvalidInputError, match=message):
        run.main(parsed(*words), tmp_path, pack)


def test_evaluate_without_a_pack_is_not_found(checkpoint, tmp_path):
    with pytest.raises(NotFoundError, match=r"manifest\.jsonl"):
        run.main(parsed("nano"), checkpoint, tmp_path)
