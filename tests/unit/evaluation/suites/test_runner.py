"""Suites run over a tiny checkpoint: twice the same, killed and gone on with, at a gateway, with a judge."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest

from eureka.audio.decode import DecodeLimits, decode_all
from eureka.clients.gateway import GatewayClient
from eureka.dataflux.weakness import read_weakness
from eureka.errors import InvalidInputError, NotFoundError, StageUnavailableError
from eureka.evaluation.arguments import PUBLIC_SUITES
from eureka.evaluation.changes import changed_items, changes_to_markdown
from eureka.evaluation.comparison import compare_files
from eureka.evaluation.suites.captions import JUDGED
from eureka.evaluation.suites.command import run_suite
from eureka.evaluation.suites.confusion import confusion_path
from eureka.evaluation.suites.items import Inquiry, Reply
from eureka.evaluation.suites.judge import Judge, JudgeConfig
from eureka.evaluation.suites.records import RecordFile, items_path
from eureka.evaluation.suites.registry import SUITES
from eureka.evaluation.suites.responders import EngineResponder, GatewayResponder, float_wav
from eureka.types import Task
from tests.helpers import public_sets
from tests.helpers.chat_server import chat_server
from tests.helpers.small_gateway import serving, small_gateway
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

JUDGED_SUITES = tuple(name for name in PUBLIC_SUITES if SUITES[name].judge_prompt is not None)
MAX_NEW_TOKENS = 24


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with the tiny sets of all suites, one below another."""
    root = tmp_path_factory.mktemp("sets")
    for name, write in public_sets.WRITERS.items():
        write(root / name)
    return root


@pytest.fixture(scope="module")
def engine(checkpoint):
    """One engine for many suites; `run_suite` leaves it open."""
    with EngineResponder(checkpoint, max_new_tokens=MAX_NEW_TOKENS) as responder:
        yield KeptOpen(responder)


class KeptOpen:
    """A responder that leaving does not close, and that counts what it is asked."""

    def __init__(self, responder):
        self._responder = responder
        self.num_asked = 0
        self._lock = threading.Lock()

    def __getattr__(self, name):
        return getattr(self._responder, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def answer(self, pcm, inquiry):
        with self._lock:
            self.num_asked += 1
        return self._responder.answer(pcm, inquiry)


class Breaking(KeptOpen):
    """One that is away after some answers."""

    def __init__(self, responder, num_answers):
        super().__init__(responder)
        self._num_answers = num_answers

    def answer(self, pcm, inquiry):
        if self.num_asked >= self._num_answers:
            raise StageUnavailableError("the model is away")
        return super().answer(pcm, inquiry)

    num_at_once = 1


def run(name, data, responder, output, **options):
    return run_suite(SUITES[name], data / name, lambda: responder, output, checkpoint="tiny", **options)


@pytest.mark.parametrize("name", [name for name in PUBLIC_SUITES if name not in JUDGED_SUITES])
def test_suite_measured_twice_gives_the_same_bytes_and_no_difference(name, data, engine, tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    first, second = (run(name, data, engine, path) for path in paths)
    assert first.rows == second.rows
    assert items_path(paths[0]).read_bytes() == items_path(paths[1]).read_bytes()
    assert [row.name for row in first.rows if not row.group] == [m.name for m in SUITES[name].metrics]
    assert all(row.value >= 0 for row in first.rows)
    differences = compare_files(*paths)[2]
    assert {d.verdict for d in differences} == {"same"} and len(differences) == len(first.rows)
    assert paths[0].with_suffix(".md").read_text().startswith("| set |")


@pytest.mark.parametrize("name", ["mmau", "librispeech"])
def test_items_do_not_depend_on_how_many_are_asked_at_once(name, data, checkpoint, engine, tmp_path):
    run(name, data, engine, tmp_path / "many.json")
    with EngineResponder(checkpoint, max_new_tokens=MAX_NEW_TOKENS, num_slots=1) as single:
        run(name, data, KeptOpen(single), tmp_path / "one.json")
    many, alone = (items_path(tmp_path / f"{each}.json").read_bytes() for each in ("many", "one"))
    assert many == alone


def test_run_that_broke_off_asks_only_what_is_missing(data, engine, tmp_path):
    whole, broken = tmp_path / "whole.json", tmp_path / "broken.json"
    expected = run("mmau", data, engine, whole)
    num_each = len(SUITES["mmau"].ask(SUITES["mmau"].items(data / "mmau")[1][0]))
    with pytest.raises(StageUnavailableError):
        run("mmau", data, Breaking(engine, 2 * num_each), broken)
    counting = KeptOpen(engine)
    assert run("mmau", data, counting, broken).rows == expected.rows
    assert counting.num_asked == num_each
    assert items_path(broken).read_bytes() == items_path(whole).read_bytes()


def _run_until_killed(data: Path, checkpoint: Path, output: Path) -> None:
    """In a process of its own: answers one item, then dies without a word."""

    class Dying(KeptOpen):
        num_at_once = 1

        def answer(self, pcm, inquiry):
            if self.num_asked >= 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().answer(pcm, inquiry)

    with EngineResponder(checkpoint, max_new_tokens=MAX_NEW_TOKENS) as responder:
        run("mmau", data, Dying(responder), output)


def test_run_killed_by_sigkill_goes_on_to_the_same_bytes(data, checkpoint, engine, tmp_path):
    whole, killed = tmp_path / "whole.json", tmp_path / "killed.json"
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_run_until_killed, args=(data, checkpoint, killed))
    process.start()
    process.join(100)
    assert process.exitcode == -signal.SIGKILL
    assert len(items_path(killed).read_text().splitlines()) == 2
    run("mmau", data, engine, whole)
    run("mmau", data, engine, killed)
    assert items_path(killed).read_bytes() == items_path(whole).read_bytes()


def test_finished_run_asks_nothing_again_but_anew(data, engine, tmp_path):
    path = tmp_path / "a.json"
    first = run("esc50", data, engine, path)
    counting = KeptOpen(engine)
    assert run("esc50", data, counting, path).rows == first.rows
    assert counting.num_asked == 0
    run("esc50", data, counting, path, is_fresh=True)
    assert counting.num_asked == 4


def test_other_checkpoint_does_not_go_on_with_records(data, engine, tmp_path):
    path = tmp_path / "a.json"
    run("esc50", data, engine, path)
    other = KeptOpen(engine)
    other.identity = engine.identity | {"weights_sha256": "0" * 64}
    with pytest.raises(InvalidInputError) as caught:
        run("esc50", data, other, path)
    assert caught.value.reason == "OTHER_RUN"


def test_limit_takes_the_same_items_every_time(data, engine, tmp_path):
    rows = [run("esc50", data, engine, tmp_path / f"{n}.json", limit=2).rows for n in range(2)]
    assert rows[0] == rows[1] and rows[0][0].num_clips == 2
    with pytest.raises(InvalidInputError, match="at least 1"):
        run("esc50", data, engine, tmp_path / "c.json", limit=0)


def test_audio_that_cannot_be_decoded_counts_as_wrong_and_is_told(data, engine, tmp_path):
    public_sets.write_mmau(tmp_path / "mmau")
    broken = next((tmp_path / "mmau" / "test-mini-audios").glob("*0.wav"))
    broken.write_bytes(b"no audio at all")
    report = run("mmau", tmp_path, engine, tmp_path / "a.json")
    assert report.rows[0].num_clips == 3
    assert report.rows[0].note == "1 items could not be asked and count as wrong"
    broken.unlink()
    with pytest.raises(NotFoundError) as caught:
        run("mmau", tmp_path, engine, tmp_path / "b.json")
    assert caught.value.reason == "AUDIO_NOT_FOUND"


@pytest.mark.parametrize("name", ["librispeech", "mmau", "mmsu", "esc50", "desed"])
def test_gateway_gives_what_the_engine_gives(name, data, checkpoint, engine, tmp_path):
    """All but the options of several tokens, which a gateway decodes instead of scoring."""
    local = run(name, data, engine, tmp_path / "local.json")
    with small_gateway(checkpoint) as gateway, serving(gateway) as targets:
        client = GatewayClient(targets["plain"])
        away = run(name, data, GatewayResponder(client, MAX_NEW_TOKENS), tmp_path / "away.json")
    kept = [row for row in local.rows if not row.name.startswith("accuracy_options")]
    assert [row.value for row in away.rows if row.name in {r.name for r in kept}] == [r.value for r in kept]
    assert away.facts["backend"] == "gateway"


class Echo(KeptOpen):
    """Chooses the first label, and says one thing, whatever is asked."""

    num_at_once = 2

    def __init__(self, said="rain"):
        super().__init__(None)
        self.identity = {"model": f"echo of {said}", "backend": "none", "numerics": "none"}
        self._said = said

    def answer(self, pcm, inquiry):
        return Reply(inquiry.labels[0] if inquiry.labels else self._said)


def test_confusion_beside_the_report_is_what_dataflux_reads(data, tmp_path):
    path = tmp_path / "a.json"
    report = run("questions", data, Echo(), path)
    assert [row.value for row in report.rows[:3]] == [pytest.approx(1 / 3)] * 3
    confusion = json.loads(confusion_path(path).read_text())
    assert confusion["confusion"] == {"rain": {"rain": 1}, "rooster": {"rain": 1}, "siren": {"rain": 1}}
    assert confusion["categories"] == {"mixed/first": 0.0, "sound/what": 0.5}
    weakness = read_weakness(str(confusion_path(path)), 2.0)
    assert weakness.categories == {"mixed/first": 4.0, "sound/what": 2.25}
    assert weakness.phrases["siren"] > weakness.phrases["rain"] == 1.0


def test_answers_that_changed_are_shown_beside_what_is_right(data, engine, tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    run("questions", data, Echo(), paths[0])
    assert changed_items(paths[0], paths[0]) == []
    run("questions", data, Echo("siren"), paths[1])
    first = changed_items(*paths)[0]
    assert (first.item, first.asked, first.reference) == ("0000000.flac/0", "answer", "rain")
    assert (first.before, first.after, first.scores) == ("rain", "siren", ("accuracy_parsed",))
    assert changes_to_markdown([], 3) == "No answer changed.\n"
    table = changes_to_markdown(changed_items(*paths), 1)
    assert table.startswith("3 answers changed; the first 1:") and table.count("0000000.flac/0") == 1


@pytest.mark.parametrize("name", JUDGED_SUITES)
def test_captions_are_judged_by_what_they_say(name, data, engine, tmp_path):
    path = tmp_path / "a.json"
    with chat_server() as server:
        judge = Judge(JudgeConfig(server.url, "by-rule"), lambda seconds: None)
        server.faults += [500, 429]
        report = run(name, data, engine, path, judge=judge)
    suite = SUITES[name]
    keys = ("suite", "split", "limit", "version", *engine.identity, *judge.identity)
    run_head = {key: report.facts[key] for key in keys}
    records = RecordFile(items_path(path), run_head).known
    assert len(records) == len(suite.items(data / name)[1])
    assert all(JUDGED in record.replies and record.replies["caption"].text for record in records.values())
    assert report.facts["judge"] == "by-rule"


class Captioner(KeptOpen):
    """Says the first and the last thing that are asked for, never the middle one."""

    num_at_once = 2

    def __init__(self):
        super().__init__(None)
        self.identity = {"model": "captioner", "backend": "none", "numerics": "none"}

    def answer(self, pcm, inquiry):
        assert inquiry.task is Task.CAPTION
        return Reply("a dog barks and two people talk")


def test_judged_score_is_the_share_of_questions_that_captions_answer(data, tmp_path):
    with chat_server() as server:
        judge = Judge(JudgeConfig(server.url, "by-rule"), lambda seconds: None)
        report = run("mmau-caption", data, Captioner(), tmp_path / "a.json", judge=judge)
    by_name = {row.name: row.value for row in report.rows}
    assert by_name["caption_accuracy"] == pytest.approx(2 / 3)
    assert by_name["caption_accuracy [task: music]"] == 0
    assert report.rows[0].paper is not None and report.rows[0].paper.instruct == 52.96


def test_judged_suite_without_a_judge_is_refused_before_anything_is_asked(data, engine, tmp_path):
    counting = KeptOpen(engine)
    with pytest.raises(InvalidInputError, match="--judge"):
        run("mmau-caption", data, counting, tmp_path / "a.json")
    assert counting.num_asked == 0


def test_float_wav_is_heard_sample_by_sample():
    pcm = public_sets.tone(0.3, 440)
    assert (decode_all(float_wav(pcm), DecodeLimits()) == pcm).all()


def test_closed_set_of_an_ask_is_answered_from_the_set(engine):
    reply = engine.answer(public_sets.tone(0.5, 300), Inquiry("x", Task.ASK, "which", labels=("yes", "no")))
    assert reply.text in ("yes", "no")
