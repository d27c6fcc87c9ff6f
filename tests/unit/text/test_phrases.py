import pytest

from eureka.text.phrases import answer_phrases, collapse_loop
from eureka.text.tokenizer import Tokenizer
from eureka.types import Phrase
from tests.helpers.tokenizers import small_nano_tokenizer


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_nano_tokenizer(tmp_path_factory.mktemp("nano"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", []),
        ("<|0.4|><|1.2|>", []),
        (" rain ", [Phrase("rain")]),
        ("<|0.4|>rain<|1.2|>", [Phrase("rain", 0.4, 1.2)]),
        ("rain<|1.2|>", [Phrase("rain", None, 1.2)]),
        ("<|0.4|>rain", [Phrase("rain", 0.4)]),
        ("<|3.0|>rain<|1.0|>", [Phrase("rain", 3.0, 1.0)]),
        ("<|0.4|><|0.8|>rain<|2.0|><|2.2|>", [Phrase("rain", 0.8, 2.0)]),
        ("<|0.4|>dog<|2.0|>rain<|3.0|>", [Phrase("dog", 0.4, 2.0), Phrase("rain", 2.0, 3.0)]),
        ("dog<|1.0|> <|1.4|><|1.8|>rain", [Phrase("dog", None, 1.0), Phrase("rain", 1.8)]),
    ],
)
def test_answer_phrases_have_the_nearest_marks(nano: Tokenizer, answer: str, expected: list[Phrase]) -> None:
    assert answer_phrases(nano.encode(answer), nano) == tuple(expected)


def test_answer_phrases_end_before_a_stop_string(nano: Tokenizer) -> None:
    ids = nano.encode("<|0.4|>dog<|2.0|>rain now")
    assert answer_phrases(ids, nano, ["in n"])[1:] == (Phrase("ra", 2.0),)
    assert answer_phrases(ids, nano, ["rain"]) == (Phrase("dog", 0.4, 2.0),)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], []),
        ([1, 2, 3], [1, 2, 3]),
        ([5, 5], [5, 5]),
        ([9, 5, 5, 5, 5], [9, 5]),
        ([9, 1, 2, 1, 2, 1, 2], [9, 1, 2]),
        ([9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1], [9, 1, 2, 3]),
        ([1, 2, 1, 2, 7], [1, 2, 1, 2, 7]),
    ],
)
def test_collapse_loop_keeps_one_copy(ids: list[int], expected: list[int]) -> None:
    assert collapse_loop(ids) == tuple(expected)
