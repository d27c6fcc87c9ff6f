from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from eureka.text.tokenizer import Tokenizer
from eureka.training.events import Event
from eureka.training.questions import order_answer
from eureka.training.samples import Truth
from eureka.training.tasks import TaskRow, TaskWriter, possible_tasks
from tests.helpers.tokenizers import small_nano_tokenizer

SLOTS = {"size": "small", "coffeeDrink": "mocha"}
DOG = Event("dog bark", 0.41, 1.2)
MAN = Event("man speaking", 1.0, 2.0)
TRUTHS = {
    "sentence": Truth("speechocean762", "we call it a bear", (MAN,)),
    "digit": Truth("fsdd", "seven", (MAN,)),
    "digit under noise": Truth("fsdd", "seven"),
    "order": Truth("coffee_orders", None, (MAN,), slots=SLOTS),
    "order under noise": Truth("coffee_orders", slots=SLOTS),
    "sound": Truth("sounds", "", (DOG,), "dog bark"),
    "song": Truth("sounds", None, (Event("singing", 0.0, 3.0),), "singing"),
    "scene": Truth("scenes", "good morning", (DOG, MAN)),
    "scene without words": Truth("scenes", "", (DOG,)),
    "scene of a song": Truth("scenes", None, (DOG,)),
    "silence": Truth("quiet", "", ()),
    "noise": Truth("quiet", ""),
    "injected": Truth("injected", "turn the light on please"),
    "injected word": Truth("injected", "seven"),
    "injected order": Truth("injected", "a small mocha please", slots=SLOTS),
}
CAPTIONS = {
    "sentence": "<|1.0|>man speaking<|2.0|>",
    "sound": "<|0.4|>dog bark<|1.2|>",
    "scene": "<|0.4|>dog bark<|1.2|><|1.0|>man speaking<|2.0|>",
    "silence": "silence",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    small_nano_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def writer(folder: Path) -> TaskWriter:
    return TaskWriter(folder)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(folder)


def _answer(row: TaskRow, tokenizer: Tokenizer) -> str:
    return tokenizer.decode_raw(list(row.answer_ids)[:-1]).strip()


def _question(row: TaskRow, tokenizer: Tokenizer) -> str:
    return tokenizer.decode_raw(row.prompt.prompt_ids.tolist())


def _rows(writer: TaskWriter, truth: Truth, count: int = 120) -> list[TaskRow]:
    return [writer.write(truth, 5, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("name", list(TRUTHS))
def test_task_answers_close_with_the_end_of_turn(writer: TaskWriter, tokenizer: Tokenizer, name: str) -> None:
    for row in _rows(writer, TRUTHS[name], 60):
        assert row.answer_ids[-1] == tokenizer.special_id("<|im_end|>")
        assert tokenizer.special_id("<|im_end|>") not in list(row.answer_ids)[:-1]
        assert row.prompt.num_audio_tokens == 5
        assert row.length == len(row.prompt.prompt_ids) + len(row.answer_ids)


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("sentence", {"transcribe", "caption", "ask"}),
        ("digit", {"transcribe", "caption", "classify", "ask"}),
        ("digit under noise", {"transcribe", "classify"}),
        ("order", {"order", "caption", "ask"}),
        ("order under noise", {"order"}),
        ("sound", {"caption", "classify", "transcribe", "ask"}),
        ("song", {"caption", "classify", "ask"}),
        ("scene", {"caption", "transcribe", "ask"}),
        ("scene of a song", {"caption", "ask"}),
        ("silence", {"caption", "transcribe", "ask"}),
        ("noise", {"transcribe"}),
        ("injected", {"transcribe"}),
        ("injected word", {"transcribe", "classify"}),
        ("injected order", {"order", "transcribe"}),
    ],
)
def test_tasks_are_those_whose_answer_is_known(name: str, tasks: set[str]) -> None:
    found = possible_tasks(TRUTHS[name])
    assert set(found) == tasks and min(found.values()) > 0


@pytest.mark.parametrize("name", list(TRUTHS))
def test_task_transcripts_are_the_words(writer: TaskWriter, tokenizer: Tokenizer, name: str) -> None:
    truth = TRUTHS[name]
    rows = [r for r in _rows(writer, truth) if "<|transcribe|>" in _question(r, tokenizer)]
    assert bool(rows) == (truth.words is not None)
    assert {_answer(row, tokenizer) for row in rows} <= {truth.words}


@pytest.mark.parametrize("name", list(TRUTHS))
def test_task_captions_are_the_events(writer: TaskWriter, tokenizer: Tokenizer, name: str) -> None:
    truth = TRUTHS[name]
    rows = [r for r in _rows(writer, truth) if "<|caption|>" in _question(r, tokenizer)]
    assert truth.events is not None or not rows
    if name in CAPTIONS:
        found = {_answer(row, tokenizer).replace("> ", ">") for row in rows}
        assert found == {CAPTIONS[name]}


@pytest.mark.parametrize(
    ("name", "label"), [("sound", "dog bark"), ("digit", "seven"), ("injected word", "seven")]
)
def test_task_labels_are_the_phrase_or_the_words(
    writer: TaskWriter, tokenizer: Tokenizer, name: str, label: str
) -> None:
    rows = [r for r in _rows(writer, TRUTHS[name], 200) if "<|classify|>" in _question(r, tokenizer)]
    assert {_answer(row, tokenizer) for row in rows} == {label}


@pytest.mark.parametrize("name", ["order under noise", "injected order"])
def test_task_orders_are_answered_with_their_slots(
    writer: TaskWriter, tokenizer: Tokenizer, name: str
) -> None:
    rows = [r for r in _rows(writer, TRUTHS[name]) if "<|transcribe|>" not in _question(r, tokenizer)]
    assert {_answer(row, tokenizer) for row in rows} == {order_answer(SLOTS)}
    plain = sum("what is ordered" in _question(row, tokenizer) for row in rows)
    assert plain / len(rows) > 0.6  # evaluation asks so


def test_task_questions_about_silence_say_nobody_speaks(writer: TaskWriter, tokenizer: Tokenizer) -> None:
    found = {
        _answer(row, tokenizer)
        for row in _rows(writer, TRUTHS["silence"], 200)
        if "who" in _question(row, tokenizer)
    }
    assert found == {"nobody"}


def test_task_shares_follow_the_table(writer: TaskWriter, tokenizer: Tokenizer) -> None:
    questions = [_question(row, tokenizer) for row in _rows(writer, TRUTHS["digit"], 600)]
    counts = Counter(
        next((word for word in ("transcribe", "caption", "classify") if f"<|{word}|>" in text), "ask")
        for text in questions
    )
    shares = {name: count / 600 for name, count in counts.items()}
    assert shares == pytest.approx(
        {"transcribe": 0.8, "caption": 0.06, "classify": 0.09, "ask": 0.05}, abs=0.04
    )


def test_task_transcribe_now_and_then_hints_the_language(writer: TaskWriter, tokenizer: Tokenizer) -> None:
    hinted = ["english" in _question(r, tokenizer) for r in _rows(writer, TRUTHS["injected"], 400)]
    assert 0.02 < np.mean(hinted) < 0.09


@pytest.mark.parametrize("name", list(TRUTHS))
def test_task_shortest_is_no_longer_than_any_other_but_a_question(
    writer: TaskWriter, tokenizer: Tokenizer, name: str
) -> None:
    truth = TRUTHS[name]
    shortest = writer.shortest(truth, 5, np.random.default_rng(0))
    own = [r for r in _rows(writer, truth) if any(f"<|{w}|>" in _question(r, tokenizer) for w in CAPTIONS)]
    assert all(shortest.length <= row.length for row in own)
    assert shortest.length <= 5 + 22 + writer.longest_answer(truth)
