from __future__ import annotations

import math

from eureka.evaluation.heard_file import HeardFile, read_answers
from eureka.evaluation.hearing import Heard, Question
from eureka.types import Segment, SegmentSource, Task

RUN = {"weights_sha256": "ab", "limit": None}
SAID = (("a", Question(Task.TRANSCRIBE)), Heard("one", (Segment(0.0, 0.4, "one", SegmentSource.WINDOW),)))
CHOSEN = (("a", Question(Task.CLASSIFY, ("x", "y"))), Heard("y", (), "y", -0.25))


def test_answers_come_back_as_they_were(tmp_path):
    path = tmp_path / "new" / "a.answers.jsonl"
    file = HeardFile(path, RUN)
    assert file.known == {}
    file.add([SAID, CHOSEN])
    known = HeardFile(path, RUN).known
    assert known[CHOSEN[0]] == CHOSEN[1]
    said = known[SAID[0]]
    assert (said.text, said.segments, said.label) == ("one", SAID[1].segments, None)
    assert math.isnan(said.log_probability)


def test_line_that_a_kill_cut_off_is_dropped(tmp_path):
    path = tmp_path / "a.answers.jsonl"
    HeardFile(path, RUN).add([SAID, CHOSEN])
    path.write_bytes(path.read_bytes()[:-5])
    again = HeardFile(path, RUN)
    assert list(again.known) == [SAID[0]]
    again.add([CHOSEN])
    assert len(HeardFile(path, RUN).known) == 2


def test_run_that_came_to_its_end_is_begun_anew_but_can_be_read(tmp_path):
    path = tmp_path / "a.answers.jsonl"
    file = HeardFile(path, RUN)
    file.add([SAID])
    file.end()
    assert read_answers(path) == {SAID[0]: "one"}
    assert HeardFile(path, RUN).known == {}


def test_answers_of_another_checkpoint_are_left_behind(tmp_path):
    path = tmp_path / "a.answers.jsonl"
    HeardFile(path, RUN).add([SAID])
    assert HeardFile(path, RUN | {"weights_sha256": "cd"}).known == {}
    assert HeardFile(path, RUN).known == {}
