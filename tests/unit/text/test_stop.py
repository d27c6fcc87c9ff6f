import random
from collections.abc import Sequence

import pytest

from eureka.text.detokenizer import IncrementalDetokenizer
from eureka.text.phrases import answer_phrases
from eureka.text.stop import StopStrings, StopText, cut_before_stop
from eureka.text.tokenizer import Tokenizer
from tests.helpers.tokenizers import qwen_like_tokenizer, small_nano_tokenizer


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_nano_tokenizer(tmp_path_factory.mktemp("nano"))


def place_of_stop(tokenizer: Tokenizer, ids: Sequence[int], strings: Sequence[str]) -> int | None:
    """Index of the token that meets a string."""
    condition = StopStrings(tokenizer, strings)
    return next((place for place, token_id in enumerate(ids) if condition.push(token_id)), None)


def test_cut_before_stop_takes_the_first_place_of_any() -> None:
    assert cut_before_stop("one two three", ["three", "two"]) == "one "
    assert cut_before_stop("one", ["two"]) == cut_before_stop("one", []) == "one"


@pytest.mark.parametrize(
    ("pieces", "strings", "passed"),
    [
        (["abc"], ["zz"], ["abc"]),
        (["a", "b", "c"], ["bd"], ["a", "", "bc"]),
        (["a", "b", "d", "e"], ["bd"], ["a", "", "", ""]),
        (["aab"], ["aaab"], ["aab"]),
        (["aa", "a", "ab", "c"], ["aaab"], ["", "", "a", ""]),
        (["xab", "cy"], ["abcd", "cy"], ["x", "ab"]),
    ],
)
def test_stop_text_holds_back_what_may_begin_a_string(
    pieces: list[str], strings: list[str], passed: list[str]
) -> None:
    text = StopText(strings)
    assert [text.push(piece) for piece in pieces] == passed


def test_stop_string_straddles_tokens_and_characters() -> None:
    tokenizer = qwen_like_tokenizer()  # a token a byte
    ids = tokenizer.encode("say \u4f60\u597d now")
    assert place_of_stop(tokenizer, ids, ["\u4f60\u597d"]) == 4 + 6 - 1
    assert place_of_stop(tokenizer, ids, ["\u597d\u4f60"]) is None


def test_stop_string_inside_one_token_is_met_by_it(nano: Tokenizer) -> None:
    ids = nano.encode("rain and rain")
    longest = max(ids, key=lambda token_id: len(nano.token_bytes(token_id)))
    inside = nano.token_bytes(longest).decode().strip()[1:]
    assert len(inside) > 0
    place = place_of_stop(nano, ids, [inside])
    assert place is not None and place <= ids.index(longest)


def test_stop_token_that_is_only_a_part_stops_nothing() -> None:
    """The reference would stop at the first token of any stop string."""
    tokenizer = qwen_like_tokenizer()
    assert place_of_stop(tokenizer, tokenizer.encode("abababc"), ["abc"]) == 6


def test_stop_string_does_not_reach_over_a_time_mark(nano: Tokenizer) -> None:
    assert place_of_stop(nano, nano.encode("ra<|1.0|>in"), ["rain"]) is None
    assert place_of_stop(nano, nano.encode("ra<|1.0|>rain"), ["rain"]) is not None


def test_stop_text_and_phrases_agree_on_random_answers(nano: Tokenizer) -> None:
    rng = random.Random(3)
    num_met = 0
    for _ in range(300):
        ids = [rng.randrange(nano.vocab_size) for _ in range(rng.randrange(1, 30))]
        strings = [rng.choice(["a", "er", "ba", "\ufffd", " ", "nok", "st"]) for _ in range(2)]
        place = place_of_stop(nano, ids, strings)
        given = ids if place is None else ids[: place + 1]
        detokenizer = IncrementalDetokenizer(nano, strings)
        streamed = "".join(detokenizer.push([i]) for i in ids)
        assert detokenizer.is_stopped == (place is not None)
        num_met += detokenizer.is_stopped
        streamed += detokenizer.flush()
        assert streamed == ", ".join(p.text for p in answer_phrases(given, nano, strings))
        assert streamed == streamed.strip()
    assert 50 < num_met < 300
