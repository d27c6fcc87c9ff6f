from __future__ import annotations

import json

import pytest

from eureka.errors import InvalidInputError
from eureka.evaluation.counts import one
from eureka.evaluation.metrics import TimedEvent
from eureka.evaluation.suites.items import Reply
from eureka.evaluation.suites.records import Record, RecordFile, read_row_counts

RUN = {"suite": "mmau", "split": "test-mini", "model": "tiny"}


def record(name: str, text: str = "dog") -> Record:
    reply = Reply(text, (TimedEvent("dog", 0.5, 1.0),), num_tokens=3)
    return Record(name, {"answer": reply}, "Dog", ("task: sound",), {"accuracy": one(1)})


def test_record_survives_its_line():
    made = record("a")
    assert Record.from_plain(json.loads(made.to_line())) == made
    failed = Record("b", {"answer": Reply(error="INVALID_AUDIO")})
    assert Record.from_plain(json.loads(failed.to_line())) == failed
    assert failed.error == "INVALID_AUDIO"


def test_run_goes_on_after_the_last_whole_line(tmp_path):
    path = tmp_path / "new" / "a.items.jsonl"
    file = RecordFile(path, RUN)
    assert file.known == {}
    file.add(record("a"))
    file.add(record("b"))
    torn = path.read_bytes()[:-9]
    path.write_bytes(torn)
    again = RecordFile(path, RUN)
    assert list(again.known) == ["a"]
    again.add(record("b", "cat"))
    assert RecordFile(path, RUN).known["b"].replies["answer"].text == "cat"


@pytest.mark.parametrize("other", [{**RUN, "model": "other"}, {**RUN, "split": "test"}])
def test_file_of_another_run_is_refused_and_stays(tmp_path, other):
    path = tmp_path / "a.items.jsonl"
    RecordFile(path, RUN).add(record("a"))
    before = path.read_bytes()
    with pytest.raises(InvalidInputError, match="--fresh") as caught:
        RecordFile(path, other)
    assert caught.value.reason == "OTHER_RUN"
    assert path.read_bytes() == before
    assert RecordFile(path, other, is_fresh=True).known == {}


def test_finish_orders_records_whatever_came_first(tmp_path):
    contents = []
    for order in ("ab", "ba"):
        file = RecordFile(tmp_path / f"{order}.jsonl", RUN)
        for name in order:
            file.add(record(name))
        file.finish([record("a"), record("b")])
        contents.append((tmp_path / f"{order}.jsonl").read_bytes())
    assert contents[0] == contents[1]


def test_row_counts_are_those_of_the_set_and_of_its_groups(tmp_path):
    path = tmp_path / "a.items.jsonl"
    RecordFile(path, RUN).finish([record("a"), record("b")])
    counts = read_row_counts(path)
    assert set(counts) == {"accuracy", "accuracy [task: sound]"}
    assert counts["accuracy"] == {"a": one(1), "b": one(1)}


def test_row_counts_of_another_file_are_refused(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"format": "other"}\n')
    with pytest.raises(InvalidInputError, match="no records"):
        read_row_counts(tmp_path / "x.jsonl")
