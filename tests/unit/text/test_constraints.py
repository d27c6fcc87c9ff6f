"""Answers under constraints: every way that the mask leaves open leads to what was asked for."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eureka.errors import InvalidCheckpointError, InvalidInputError
from eureka.text.constraints import ConstraintCompiler, GrammarConstraint
from eureka.text.detokenizer import IncrementalDetokenizer
from eureka.text.tokenizer import Tokenizer
from eureka.types import Constraint
from tests.helpers.tokenizers import QWEN_SPECIAL_IDS, qwen_like_definition, small_nano_tokenizer

ANSWER_TOKENS = 400

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "sound": {"enum": ["dog bark", "Übergang", "rain"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 40},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 6}, "maxItems": 3},
        "is_loud": {"type": "boolean"},
    },
    "required": ["sound", "count", "tags"],
    "additionalProperties": False,
}


def packed_qwen() -> Tokenizer:
    """The tokenizer with the released model's manners, its ids without holes."""
    definition = qwen_like_definition()
    vocab: dict[str, int] = definition["model"]["vocab"]
    new = {token: number for number, token in enumerate(sorted(vocab, key=vocab.__getitem__))}
    definition["model"]["vocab"] = new
    definition["added_tokens"] = [{**each, "id": new[each["content"]]} for each in definition["added_tokens"]]
    assert set(QWEN_SPECIAL_IDS) <= set(new)
    return Tokenizer(definition)


@pytest.fixture(scope="module", params=["nano", "small", "qwen"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    if request.param == "nano":
        folder: Path = request.getfixturevalue("checkpoint_folder")
        return Tokenizer.from_folder(folder)
    if request.param == "small":
        return small_nano_tokenizer(tmp_path_factory.mktemp("small"))
    return packed_qwen()


@pytest.fixture(scope="module")
def compiler(tokenizer: Tokenizer) -> ConstraintCompiler:
    return ConstraintCompiler(tokenizer)


Pick = Callable[[list[int]], int]


def walk(follower: GrammarConstraint, end_id: int, pick: Pick) -> Iterator[int]:
    """Ids of one answer, chosen among the allowed ones; nothing after its end."""
    for _ in range(ANSWER_TOKENS):
        allowed = np.flatnonzero(follower.mask()).tolist()
        assert allowed, "nothing is allowed"
        token_id = pick(allowed)
        if token_id == end_id:
            return
        yield token_id
        if follower.push(token_id):
            return
    raise AssertionError("the answer does not end")


def answers(tokenizer: Tokenizer, compiler: ConstraintCompiler, constraint: Constraint, n: int) -> set[str]:
    """Texts of `n` random answers, as a caller sees them."""
    found = set()
    for seed in range(n):
        pick = random.Random(seed).choice
        ids = list(walk(compiler.compile(constraint), tokenizer.end_id, pick))
        assert tokenizer.special_ids.isdisjoint(ids)
        detokenizer = IncrementalDetokenizer(tokenizer)
        found.add(detokenizer.push(ids) + detokenizer.flush())
    return found


def test_choices_with_common_beginnings_come_out_whole_and_all(
    tokenizer: Tokenizer, compiler: ConstraintCompiler
) -> None:
    choices = ("rain", "rainbow", "rain bow", "dog bark", "ra", 'say "no"\\', "Über", "三つ", "🐕🐈")
    assert answers(tokenizer, compiler, Constraint(choices=choices), 200) == set(choices)


def test_a_choice_that_nothing_continues_ends_with_its_last_token(
    tokenizer: Tokenizer, compiler: ConstraintCompiler
) -> None:
    follower = compiler.compile(Constraint(choices=("rain", "rainbow")))
    ids = list(tokenizer.encode_plain("rainbow"))
    assert [follower.push(token_id) for token_id in ids] == [False] * (len(ids) - 1) + [True]


def test_a_choice_that_others_continue_may_end_or_go_on(
    tokenizer: Tokenizer, compiler: ConstraintCompiler
) -> None:
    follower = compiler.compile(Constraint(choices=("rain", "rainbow")))
    assert not any(follower.push(token_id) for token_id in tokenizer.encode_plain("rain"))
    mask = follower.mask()
    assert mask[tokenizer.end_id] and mask.sum() > 1


@pytest.mark.parametrize(
    "regex",
    [
        r"\d{2}:\d{2}",
        r"(yes|no), [a-z]{1,8}",
        r"[äöü日本🐕]{3,9}",
        r"a/b\\c",
        r"(?i)stop",
        "x\ny",
        r"^whole$",
    ],
)
def test_regex_is_matched_from_end_to_end(
    tokenizer: Tokenizer, compiler: ConstraintCompiler, regex: str
) -> None:
    for text in answers(tokenizer, compiler, Constraint(regex=regex), 25):
        assert re.fullmatch(regex, text), text


def test_json_parses_and_holds_for_the_schema(tokenizer: Tokenizer, compiler: ConstraintCompiler) -> None:
    for text in answers(tokenizer, compiler, Constraint(json_schema=json.dumps(SCHEMA)), 25):
        found = json.loads(text)
        assert set(SCHEMA["required"]) <= set(found) <= set(SCHEMA["properties"])
        assert found["sound"] in SCHEMA["properties"]["sound"]["enum"]
        assert type(found["count"]) is int and 1 <= found["count"] <= 40
        assert len(found["tags"]) <= 3 and all(len(tag) <= 6 for tag in found["tags"])
        assert type(found.get("is_loud", True)) is bool
        assert not re.search(r"\s\s|[\[{]\s", re.sub(r'"(\\.|[^"\\])*"', '""', text))


def test_layout_in_the_schema_itself_is_not_obeyed(
    tokenizer: Tokenizer, compiler: ConstraintCompiler
) -> None:
    schema = {"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 2}
    loose = {**schema, "x-guidance": {"whitespace_flexible": True}}
    assert answers(tokenizer, compiler, Constraint(json_schema=json.dumps(loose)), 20) <= {"[1,1]", "[1, 1]"}


def test_mask_has_no_special_token_and_the_end_only_where_the_answer_may_end(
    tokenizer: Tokenizer, compiler: ConstraintCompiler
) -> None:
    follower = compiler.compile(Constraint(regex="(?s).*"))
    special = sorted(tokenizer.special_ids - {tokenizer.end_id})
    for token_id in tokenizer.encode_plain("one two"):
        mask = follower.mask()
        assert mask.shape == (tokenizer.vocab_size,) and not mask[special].any() and mask[token_id]
        follower.push(token_id)
    assert follower.mask()[tokenizer.end_id]


def test_a_token_that_is_not_allowed_leaves_nothing(
    tokenizer: Tokenizer, compiler: ConstraintCompiler
) -> None:
    follower = compiler.compile(Constraint(choices=("rain",)))
    assert not follower.push(tokenizer.encode_plain("z")[-1])
    assert not follower.mask().any()


def test_answers_do_not_share_their_place(tokenizer: Tokenizer, compiler: ConstraintCompiler) -> None:
    first, second = (compiler.compile(Constraint(choices=("rain", "dog"))) for _ in range(2))
    before = second.mask()
    first.push(tokenizer.encode_plain("dog")[0])
    np.testing.assert_array_equal(second.mask(), before)


@pytest.mark.parametrize(
    ("constraint", "told"),
    [
        (Constraint(regex="(a|["), "unclosed character class"),
        (Constraint(regex="(?=a)b"), "look-around"),
        (Constraint(regex="a[^\\s\\S]"), "no text fulfils it"),
        (Constraint(regex="\ud800"), "UTF-8"),
        (Constraint(choices=("a", "\udfff")), "UTF-8"),
        (Constraint(json_schema='{"type": "object"'), "no JSON"),
        (Constraint(json_schema=""), "no JSON"),
        (Constraint(json_schema="[" * 60_000), "no JSON"),
        (Constraint(json_schema="3"), "no JSON object"),
        (Constraint(json_schema='{"type": "sound"}'), "Invalid type: sound"),
        (Constraint(json_schema='{"not": {}}'), "not"),
        (Constraint(json_schema='{"$ref": "https://example.com/schema"}'), "example.com"),
        (Constraint(json_schema='{"$ref": "#"}'), "no text fulfils it"),
        (Constraint(json_schema='{"type": "string", "pattern": "(?=a)"}'), "look-around"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_one_line(
    compiler: ConstraintCompiler, constraint: Constraint, told: str
) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(told)) as caught:
        compiler.compile(constraint)
    assert caught.value.reason == "INVALID_CONSTRAINT"
    assert "\n" not in caught.value.message and len(caught.value.message) < 400


def test_a_tokenizer_that_the_library_does_not_take_is_told() -> None:
    compiler = ConstraintCompiler(Tokenizer(qwen_like_definition()))  # its ids have holes
    with pytest.raises(InvalidCheckpointError, match="constraints"):
        compiler.prepare()
    with pytest.raises(InvalidCheckpointError, match="constraints"):
        compiler.compile(Constraint(choices=("a",)))


def test_tokenizer_that_begins_texts_with_a_space_and_has_none_is_refused() -> None:
    definition = packed_qwen().definition
    names = [name for name in sorted(definition["model"]["vocab"]) if name != "\u0120"]
    new = {name: number for number, name in enumerate(names)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": False}
    definition["model"]["vocab"] = new
    definition["added_tokens"] = [{**each, "id": new[each["content"]]} for each in definition["added_tokens"]]
    compiler = ConstraintCompiler(Tokenizer({**definition, "pre_tokenizer": byte_level}))
    with pytest.raises(InvalidCheckpointError, match="begins texts with a space"):
        compiler.prepare()
