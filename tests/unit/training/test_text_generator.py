from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from eureka.errors import InvalidInputError, NotFoundError
from eureka.training.sentence_grammar import SentenceGrammar, grammar_rules, number_words
from eureka.training.text_generator import (
    WAKE_WORDS,
    TextGenerator,
    is_held_out,
    read_texts,
    with_punctuation,
)


@pytest.fixture(scope="module")
def texts() -> TextGenerator:
    return TextGenerator(["the bird sat on the gate", "he will be back soon"])


def test_training_texts_are_never_held_out(texts: TextGenerator) -> None:
    rng = np.random.default_rng(0)
    drawn = [texts.draw_train(rng) for _ in range(3000)]
    assert not any(is_held_out(item.text) for item in drawn)
    assert len(Counter(item.kind for item in drawn)) == 11


def test_training_draws_kinds_by_the_shares_given() -> None:
    texts = TextGenerator(shares={"salad": 3.0, "word": 1.0})
    rng = np.random.default_rng(0)
    kinds = Counter(texts.draw_train(rng).kind for _ in range(2000))
    assert set(kinds) == {"salad", "word"}
    assert 0.7 < kinds["salad"] / 2000 < 0.8


def test_shares_leave_the_test_texts_as_they_are() -> None:
    plain, salads = TextGenerator(), TextGenerator(shares={"salad": 1.0})
    drawn = [[t.draw_test(np.random.default_rng(seed)) for seed in range(40)] for t in (plain, salads)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("shares", [{"poem": 1.0}, {"salad": -1.0, "word": 2.0}, {"salad": 0.0}])
def test_shares_that_cannot_be_drawn_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="shares of texts"):
        TextGenerator(shares=shares)


def test_test_texts_are_all_held_out(texts: TextGenerator) -> None:
    rng = np.random.default_rng(0)
    assert all(is_held_out(texts.draw_test(rng).text) for _ in range(200))


def test_held_out_share_is_one_in_twenty_five() -> None:
    share = np.mean([is_held_out(f"text number {number}") for number in range(20_000)])
    assert 0.035 < share < 0.045


def test_held_out_never_takes_vocabulary() -> None:
    assert not any(is_held_out(f"word{number} other") for number in range(2000))


def test_held_out_is_fixed_for_good() -> None:
    found = [n for n in range(150) if is_held_out(f"text number {n}")]
    assert found == [1, 71, 111, 134]


@pytest.mark.parametrize("kind", ["read", "salad", "digits", "near_miss", "number", "command", "prose"])
def test_texts_are_lower_case_words(texts: TextGenerator, kind: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        text = texts.draw_train(rng, kind).text
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz' ")
        assert text == " ".join(text.split()) != ""


def test_draw_from_the_same_seed_is_the_same(texts: TextGenerator) -> None:
    first, second = np.random.default_rng(4), np.random.default_rng(4)
    assert [texts.draw(first) for _ in range(50)] == [texts.draw(second) for _ in range(50)]


def test_draw_gives_slots_with_orders_only(texts: TextGenerator) -> None:
    rng = np.random.default_rng(2)
    for item in (texts.draw_train(rng) for _ in range(500)):
        assert (item.slots is not None) == (item.kind == "order")


def test_wake_texts_are_all_six(texts: TextGenerator) -> None:
    rng = np.random.default_rng(3)
    assert {texts.draw_train(rng, "wake").text for _ in range(100)} == set(WAKE_WORDS)


def test_every_rule_of_the_grammar_can_be_drawn() -> None:
    grammar, rng = SentenceGrammar(), np.random.default_rng(5)
    for rule, alternatives in grammar_rules().items():
        for _ in range(5 * len(alternatives)):
            assert "{" not in grammar.draw(rule, rng)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (17, "seventeen"),
        (40, "forty"),
        (85, "eighty five"),
        (306, "three hundred six"),
        (9572, "nine thousand five hundred seventy two"),
    ],
)
def test_number_words_spell_the_number(number: int, words: str) -> None:
    assert number_words(number) == words


def test_punctuation_adds_no_words() -> None:
    rng = np.random.default_rng(6)
    for _ in range(50):
        spoken = with_punctuation("turn on the kitchen light", rng)
        assert spoken[-1] in ".?!"
        assert spoken.rstrip(".?!").replace(",", "") == "turn on the kitchen light"


def test_read_texts_come_from_training_clips_only(data_folder: Path) -> None:
    found = read_texts(data_folder)
    assert len(found) == len(set(found)) > 3900


def test_read_texts_without_a_pack_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        read_texts(tmp_path)
