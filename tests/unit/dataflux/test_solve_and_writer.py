"""What is written about a caption, and which options it makes true."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from eureka.dataflux.describe import concluded, describe, read_description, with_text
from eureka.dataflux.distractors import Distractors
from eureka.dataflux.items import Item
from eureka.dataflux.matching import match_option
from eureka.dataflux.phrasings import PHRASINGS
from eureka.dataflux.records import Caption, CategoryPath, Question
from eureka.dataflux.solve import sole_option, true_options
from eureka.dataflux.taxonomy import load_taxonomy
from eureka.dataflux.truth import is_right
from eureka.dataflux.writer import GroundedWriter
from eureka.training.events import Event
from eureka.training.manifest import ManifestClip
from eureka.training.sound_labels import all_phrases

SCENE = with_text(
    Caption(
        "",
        8.0,
        (Event("dog bark", 0.6, 1.4), Event("man speaking", 2.0, 4.5), Event("piano", 5.2, 7.6)),
        "turn left at the old bridge",
        slots={"size": "small"},
    )
)


def asked(skill: str, *options: str, about: str = "") -> Question:
    return Question(0, CategoryPath("mixed", "scenes", "dog bark", skill), "?", options, about)


def speech(text: str, **slots: str) -> ManifestClip:
    return ManifestClip("a", "s", "train", 1.0, 16_000, "CC0", "here", text=text, slots=slots)


def writer(**about: object) -> GroundedWriter:
    texts = ["turn right at the old bridge", "turn left at the new bridge", "leave it at the front door now"]
    rows = [
        speech(text) for text in [*texts, "three four five six seven eight", "nobody said a word all day"]
    ]
    rows += [speech("", size=size) for size in ("small", "large", "medium", "twelve ounce")]
    taxonomy = load_taxonomy()
    return GroundedWriter(taxonomy, Distractors(taxonomy, rows), **about)  # type: ignore[arg-type]


def item(caption: Caption, name: str) -> Item:
    return Item(0, "scene", name, caption, ("a.wav",), ("here",), lambda: np.zeros(8, np.float32))


@pytest.mark.parametrize(
    ("question", "right"),
    [
        (asked("what", "rain", "dog bark", "violin"), 1),
        (asked("what-not", "dog bark", "piano", "rain"), 2),
        (asked("first", "man speaking", "piano", "dog bark"), 2),
        (asked("last", "man speaking", "piano", "dog bark"), 1),
        (asked("count", "two", "three", "four"), 1),
        (asked("when", "at 0.1 seconds", "at 2.1 seconds", "at 6.0 seconds", about="man speaking"), 1),
        (asked("how-long", "about 1.0 seconds", "about 2.4 seconds", "about 5.0 seconds", about="piano"), 1),
        (asked("said", "turn left at the new bridge", "turn left at the old bridge"), 1),
        (asked("word", "ridge", "bridge", "midge"), 1),
        (asked("who", "a woman", "nobody", "a man"), 2),
        (asked("order", "large", "small", about="size"), 1),
    ],
)
def test_option_that_the_caption_makes_true_is_found_by_both_readings(question: Question, right: int) -> None:
    assert sole_option(question, SCENE) == right
    assert [is_right(SCENE, question, index) for index in range(len(question.options))].index(True) == right


def test_question_that_the_caption_cannot_decide_has_no_options() -> None:
    assert true_options(asked("order", "a", "b", about="roast"), SCENE) is None
    assert true_options(asked("said", "a", "b"), replace(SCENE, words=None)) is None
    assert true_options(asked("open", "a", "b"), SCENE) is None


def test_starts_that_lie_together_have_no_order() -> None:
    close = replace(SCENE, events=(Event("dog bark", 0.6, 1.4), Event("piano", 0.8, 3.0)))
    assert true_options(asked("first", "dog bark", "piano"), close) == []


def test_every_written_question_has_one_right_option_and_wrong_ones_that_differ() -> None:
    seen: Counter[str] = Counter()
    for number in range(20):
        for question in writer(per_item=12).write(item(SCENE, str(number)), SCENE):
            right = sole_option(question, SCENE)
            assert right is not None and is_right(SCENE, question, right)
            assert 3 <= len(question.options) <= 4 and len(set(question.options)) == len(question.options)
            assert "{" not in question.text and question.text.strip()
            seen[question.path.skill] += 1
    assert set(seen) == set(PHRASINGS) - {"background"}


def test_background_is_asked_where_there_is_one() -> None:
    scene = replace(SCENE, background="rain", events=(Event("rain", 0.0, 8.0), *SCENE.events))
    found = writer(skills=("background",)).write(item(scene, "b"), scene)
    assert [sole_option(question, scene) is not None for question in found] == [True]
    assert found[0].path.thing == "rain"


def test_writer_gives_the_same_for_the_same_and_other_questions_for_another_seed() -> None:
    one, two = (writer(seed=1).write(item(SCENE, "x"), SCENE) for _ in range(2))
    assert one == two != writer(seed=2).write(item(SCENE, "x"), SCENE)


def test_weak_categories_are_asked_more_often() -> None:
    def share(weights: dict[str, float]) -> int:
        made = writer(per_item=2, weights=weights)
        return sum(q.path.skill == "when" for n in range(30) for q in made.write(item(SCENE, str(n)), SCENE))

    assert share({"mixed/when": 8.0}) > 2 * share({})


def test_wrong_sounds_are_never_alike_to_what_is_heard() -> None:
    taxonomy = load_taxonomy()
    distractors = Distractors(taxonomy, [])
    for seed in range(40):
        rng = np.random.default_rng(seed)
        wrong = distractors.phrases("storm", ["storm", "telephone"], rng)
        assert len(wrong) == 3 and not {"rain", "wind", "sea waves", "bell", "beep"} & set(wrong)


def test_measured_confusion_draws_the_option_that_is_confused() -> None:
    taxonomy = load_taxonomy()
    plain, measured = Distractors(taxonomy, []), Distractors(taxonomy, [], {"train": {"helicopter": 50.0}})

    def count(made: Distractors) -> int:
        draws = (made.phrases("train", ["train"], np.random.default_rng(seed)) for seed in range(60))
        return sum("helicopter" in wrong for wrong in draws)

    assert count(measured) > count(plain) + 10


def test_taxonomy_has_a_place_for_every_phrase() -> None:
    taxonomy = load_taxonomy()
    assert {phrase for phrase in all_phrases() if phrase not in taxonomy.groups} == set()
    assert set(PHRASINGS) <= set(taxonomy.skills)
    assert set(taxonomy.rules) == {"speech", "sound", "music", "mixed"}


def test_description_is_read_back_as_it_was_told() -> None:
    heard = read_description(describe(SCENE), SCENE.seconds)
    assert heard is not None
    assert (heard.events, heard.words, heard.slots) == (SCENE.events, SCENE.words, SCENE.slots)
    assert read_description("It sounded busy.", 1.0) is None
    assert concluded("I hear rain. So the answer is dog bark.") == "dog bark"


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("dog bark", 0),
        ("a dog barking", 0),
        ("B", 1),
        ("b) rain", 1),
        ("I think it is rain here", 1),
        ("", None),
        ("a trumpet", None),
    ],
)
def test_free_text_names_an_option_or_none(said: str, chosen: int | None) -> None:
    assert match_option(said, ("dog bark", "rain", "sea waves")) == chosen


def test_number_names_the_nearest_time() -> None:
    assert match_option("it starts at 2.0", ("at 0.4 seconds", "at 2.2 seconds")) == 1
    assert match_option("9.0", ("at 0.4 seconds", "at 2.2 seconds")) is None
