import json
import random
from pathlib import Path

import pytest

from eureka.errors import InvalidCheckpointError, InvalidInputError
from eureka.text.tokenizer import Tokenizer
from eureka.training.tokenizer_recipe import MARKERS, TASK_WORDS, time_tokens, train_tokenizer
from tests.helpers.tokenizers import qwen_like_definition, qwen_like_tokenizer, small_nano_tokenizer


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_nano_tokenizer(tmp_path_factory.mktemp("nano"))


def test_from_folder_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpointError, match=r"tokenizer\.json"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": {"type": "BPE"}}'])
def test_from_folder_bad_file_is_an_invalid_checkpoint(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InvalidCheckpointError):
        Tokenizer.from_folder(tmp_path)


def test_from_folder_without_byte_level_decoder_is_refused() -> None:
    with pytest.raises(InvalidCheckpointError, match="ByteLevel"):
        Tokenizer(qwen_like_definition() | {"decoder": {"type": "Metaspace", "replacement": "_"}})


def test_special_id_unknown_string_is_named() -> None:
    with pytest.raises(InvalidCheckpointError, match=r"<\|vision_start\|>"):
        qwen_like_tokenizer().special_id("<|vision_start|>")


def test_special_id_is_looked_up_by_string() -> None:
    assert qwen_like_tokenizer().end_id == 151645
    other = {"<|im_end|>": 7, "<|im_start|>": 9}
    assert Tokenizer(qwen_like_definition(other)).end_id == 7


@pytest.mark.parametrize("token", ["<|im_end|>", "<|audio_pad|>", "<think>", "</think>", "<|endoftext|>"])
def test_encode_plain_special_string_stays_text(token: str) -> None:
    tokenizer = qwen_like_tokenizer()
    assert tokenizer.encode(token) == [tokenizer.special_id(token)]
    plain = tokenizer.encode_plain(f"a {token} b")
    assert tokenizer.special_ids.isdisjoint(plain)
    assert tokenizer.decode(plain) == f"a {token} b"


def test_encode_plain_whole_word_vocabulary_cannot_reach_a_special() -> None:
    definition = qwen_like_definition()
    definition["pre_tokenizer"] = definition["pre_tokenizer"]["pretokenizers"][1]  # no splitting
    definition["model"]["ignore_merges"] = True  # looks whole words up in the vocabulary
    tokenizer = Tokenizer(definition)
    plain = tokenizer.encode_plain("<|im_end|>")
    assert tokenizer.special_ids.isdisjoint(plain)
    assert tokenizer.decode(plain) == "<|im_end|>"


def test_decode_agrees_with_library_on_random_ids() -> None:
    tokenizer = qwen_like_tokenizer()
    rng = random.Random(1)
    for _ in range(200):
        ids = [300 + rng.randrange(256) for _ in range(rng.randrange(12))]
        assert tokenizer.decode(ids) == tokenizer.decode_raw(ids)


def test_decode_ids_beyond_vocabulary_are_dropped() -> None:
    tokenizer = qwen_like_tokenizer()
    assert tokenizer.decode([77091, 151645, 151900, -1, 198]) == "assistant\n"


@pytest.mark.parametrize("text", ["caf\u00e9 \u4f60\u597d \U0001f600", "two  spaces ", "\n\ttabs", ""])
def test_round_trip_keeps_any_text(text: str) -> None:
    tokenizer = qwen_like_tokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_nano_has_exact_size_and_order_of_ids(nano: Tokenizer) -> None:
    assert nano.vocab_size == 600
    expected = [*MARKERS, *TASK_WORDS, *time_tokens()]
    assert [nano.special_id(token) for token in expected] == list(range(162))


def test_nano_decode_drops_prefix_space_and_lowers_case(nano: Tokenizer) -> None:
    assert nano.decode(nano.encode("Dog BARK \u00e9t\u00e9")) == "dog bark \u00e9t\u00e9"


def test_nano_template_words_are_cheap(nano: Tokenizer) -> None:
    for piece in ("system\n", "user\n", "assistant\n"):
        assert len(nano.encode(piece)) == 2
    assert len(nano.encode("\n")) == 1


def test_time_token_seconds_knows_time_tokens_only(nano: Tokenizer) -> None:
    assert nano.time_token_seconds(nano.special_id("<|2.4|>")) == 2.4
    assert nano.time_token_seconds(nano.special_id("<|im_end|>")) is None
    assert nano.time_token_seconds(300) is None
    assert nano.time_token_id(2.47) == nano.special_id("<|2.4|>")
    assert qwen_like_tokenizer().time_token_id(1.0) is None


def test_train_tokenizer_too_few_words_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="1024"):
        train_tokenizer(["dog bark"], tmp_path)


def test_train_tokenizer_same_texts_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        small_nano_tokenizer(tmp_path / name)
    first, second = (json.loads((tmp_path / name / "tokenizer.json").read_text()) for name in ("a", "b"))
    assert first == second
