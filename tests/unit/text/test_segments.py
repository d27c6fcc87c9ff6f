import random
from collections.abc import Sequence

import pytest

from eureka.text.detokenizer import IncrementalDetokenizer
from eureka.text.phrases import answer_phrases
from eureka.text.segments import TimedText, segments_of
from eureka.text.tokenizer import Tokenizer
from eureka.types import Segment, SegmentSource, Span
from tests.helpers.tokenizers import qwen_like_tokenizer, small_nano_tokenizer

WINDOW = Span(160_000, 240_000)  # 10 s to 15 s


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_nano_tokenizer(tmp_path_factory.mktemp("nano"))


def times(segments: tuple[Segment, ...]) -> list[tuple[float, float, str]]:
    return [(round(s.start_seconds, 3), round(s.end_seconds, 3), s.text) for s in segments]


def parse(answer: Sequence[int] | str, tokenizer: Tokenizer) -> TimedText:
    """Both halves of the way from ids to segments: the decoder's and the caller's."""
    ids = tokenizer.encode(answer) if isinstance(answer, str) else answer
    return segments_of(answer_phrases(ids, tokenizer), WINDOW)


def test_segments_of_pairs_become_segments_of_the_file(nano: Tokenizer) -> None:
    timed = parse("<|0.4|>dog bark<|1.2|><|2.0|>man speaking<|4.6|>", nano)
    assert timed.text == "dog bark, man speaking"
    assert times(timed.segments) == [(10.4, 11.2, "dog bark"), (12.0, 14.6, "man speaking")]
    assert {s.source for s in timed.segments} == {SegmentSource.MODEL}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("dog bark<|1.2|>", [(10.0, 11.2, "dog bark")]),
        ("<|0.4|>dog bark", [(10.4, 15.0, "dog bark")]),
        ("<|0.4|>dog bark<|2.0|>rain<|3.0|>", [(10.4, 12.0, "dog bark"), (12.0, 13.0, "rain")]),
        ("<|3.0|>rain<|1.0|>", [(11.0, 13.0, "rain")]),
        ("<|1.0|>rain<|1.0|>", [(11.0, 11.1, "rain")]),
        ("<|4.0|>rain<|29.0|>", [(14.0, 15.0, "rain")]),
        ("<|20.0|>rain<|29.0|>", [(14.9, 15.0, "rain")]),
        ("<|0.4|><|0.8|><|1.0|>rain<|2.0|><|2.2|>", [(11.0, 12.0, "rain")]),
        ("<|1.0|>rain<|3.0|><|2.0|>dog bark<|4.0|>", [(11.0, 13.0, "rain"), (12.0, 14.0, "dog bark")]),
    ],
)
def test_segments_of_malformed_marks_are_mended(
    nano: Tokenizer, answer: str, expected: list[tuple[float, float, str]]
) -> None:
    assert times(parse(answer, nano).segments) == expected


@pytest.mark.parametrize("answer", ["", "<|0.4|><|1.2|>", " ", "<|im_end|>"])
def test_segments_of_nothing_said_gives_nothing(nano: Tokenizer, answer: str) -> None:
    timed = parse(answer, nano)
    assert (timed.text, timed.segments) == ("", ())


def test_segments_of_without_marks_is_one_segment_of_the_window() -> None:
    tokenizer = qwen_like_tokenizer()
    timed = parse([*tokenizer.encode(" A dog barks. "), tokenizer.end_id], tokenizer)
    assert timed.text == "A dog barks."
    assert timed.segments == (Segment(10.0, 15.0, "A dog barks.", SegmentSource.WINDOW),)


def test_detokenizer_split_character_is_held_until_complete() -> None:
    tokenizer = qwen_like_tokenizer()
    detokenizer = IncrementalDetokenizer(tokenizer)
    deltas = [detokenizer.push([i]) for i in tokenizer.encode("a\u4f60b")]
    assert deltas == ["a", "", "", "\u4f60", "b"]


def test_detokenizer_unfinished_character_is_replaced_at_the_end() -> None:
    tokenizer = qwen_like_tokenizer()
    detokenizer = IncrementalDetokenizer(tokenizer)
    assert detokenizer.push(tokenizer.encode("a\u4f60")[:-1]) == "a"
    assert detokenizer.flush() == "\ufffd"


def test_detokenizer_joined_deltas_equal_the_parsed_text(nano: Tokenizer) -> None:
    rng = random.Random(2)
    for _ in range(300):
        ids = [rng.randrange(nano.vocab_size) for _ in range(rng.randrange(1, 30))]
        detokenizer = IncrementalDetokenizer(nano)
        streamed = "".join(detokenizer.push([i]) for i in ids) + detokenizer.flush()
        assert streamed == parse(ids, nano).text


def test_detokenizer_pieces_do_not_change_the_text(nano: Tokenizer) -> None:
    ids = nano.encode("<|0.4|>dog bark<|1.2|><|2.0|>rain \u00e9<|4.6|>")
    whole = IncrementalDetokenizer(nano)
    assert whole.push(ids) + whole.flush() == "dog bark, rain \u00e9"
