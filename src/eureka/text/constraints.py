"""Constraints on answers: which tokens may come next, so that the text becomes what was asked for.

The grammar is llguidance's; here are the bytes of the checkpoint's tokens that it works on, and its errors.
What the tokenizer does to text on its way in (a space in front, lower case) is left out: a constraint holds
for the bytes that come out. Special tokens are never allowed, but for the end of the answer where it may end.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, regex_to_lark
from numpy.typing import NDArray

from eureka.errors import InvalidCheckpointError, InvalidInputError
from eureka.text.tokenizer import Tokenizer
from eureka.types import Constraint

_JSON_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
"""Between the parts of JSON a space at most: a weak model would go on with spaces for ever."""

_ASCII_CLASSES = "d"
"""\\d is 0 to 9; \\w and \\s are Unicode's."""

_MAX_ERROR_CHARACTERS = 300
"""Of the library's message."""

_SHOWN_GRAMMAR = re.compile(r"\n\s*1 \| .*", re.DOTALL)
_POINTERS = re.compile(r"^(at )?\d+\(\d+\): |\n\s*\^+(?=\n)")
"""Places in the grammar, which is ours: they tell a caller nothing."""

_LIMITS = LLParserLimits(max_items_in_row=10_000)
"""The library's own, but for objects of more than some 500 properties; a step takes a few ms at most."""

Mask = NDArray[np.bool_]


class GrammarConstraint:
    """Follows one answer through a grammar.

    Args:
        matcher: at the start of the grammar.
        spelling: (N,) True at the ids that spell something.
        end_id: closes an answer.
    """

    def __init__(self, matcher: LLMatcher, spelling: Mask, end_id: int) -> None:
        self._matcher = matcher
        self._spelling = spelling
        self._end_id = end_id

    def mask(self) -> Mask:
        """(N,) True at the ids that may come next; all False once the grammar cannot be followed further."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            return np.zeros_like(self._spelling)
        allowed = np.unpackbits(bits, count=len(self._spelling), bitorder="little").view(np.bool_)
        may_end = bool(allowed[self._end_id])
        allowed &= self._spelling
        allowed[self._end_id] = may_end
        return allowed

    def push(self, token_id: int) -> bool:
        """Take the next token; True once the answer is whole and nothing but its end may follow."""
        is_taken = self._matcher.consume_token(token_id)
        return is_taken and self._matcher.is_stopped() and self._matcher.is_accepting()


@dataclass(frozen=True, slots=True, eq=False)
class _Vocabulary:
    """What grammars need of a tokenizer.

    Attributes:
        library: the tokenizer as llguidance wants it.
        spelling: (N,) True at the ids that spell something.
        prefix: ids of the space in front of every text; none where the tokenizer puts none there.
    """

    library: LLTokenizer
    spelling: Mask
    prefix: tuple[int, ...]


class ConstraintCompiler:
    """Makes constraints for answers of one checkpoint; thread-safe.

    What it needs of the tokenizer is made once: 10 ms for a thousand tokens, some seconds for 150,000.

    Args:
        tokenizer: of the checkpoint.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._known: _Vocabulary | None = None

    def compile(self, constraint: Constraint) -> GrammarConstraint:
        """The constraint for one answer; it is within `engine.request.check_constraint`'s bounds.

        Raises:
            InvalidInputError: reason INVALID_CONSTRAINT; it cannot be read, asks for what is not supported,
                or no text fulfils it.
            InvalidCheckpointError: the library does not take this tokenizer.
        """
        vocabulary = self._vocabulary()
        grammar = _grammar(constraint, has_prefix=bool(vocabulary.prefix))
        matcher = LLMatcher(vocabulary.library, grammar, log_level=0, limits=_LIMITS)
        if matcher.is_error():
            raise _refused(matcher.get_error())
        if not _has_answers(matcher.deep_copy(), vocabulary.prefix):
            raise _refused("no text fulfils it")
        return GrammarConstraint(matcher, vocabulary.spelling, self._tokenizer.end_id)

    def prepare(self) -> None:
        """Make now what the first constraint would wait for.

        Raises:
            InvalidCheckpointError: the library does not take this tokenizer.
        """
        self._vocabulary()

    def _vocabulary(self) -> _Vocabulary:
        with self._lock:
            if self._known is None:
                self._known = _read(self._tokenizer)
            return self._known


def _read(tokenizer: Tokenizer) -> _Vocabulary:
    spelled = [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
    if tokenizer.adds_prefix_space and b" " not in spelled:
        raise InvalidCheckpointError("tokenizer.json begins texts with a space, but no token is just that")
    prefix = (spelled.index(b" "),) if tokenizer.adds_prefix_space else ()
    return _Vocabulary(_library_tokenizer(tokenizer), np.array([bool(each) for each in spelled]), prefix)


def _has_answers(matcher: LLMatcher, prefix: Sequence[int]) -> bool:
    """Whether anything may follow the space in front; the matcher is used up."""
    matcher.consume_tokens(list(prefix))
    matcher.compute_bitmask()
    return not matcher.is_error()


def _grammar(constraint: Constraint, has_prefix: bool) -> str:
    """Lark, as llguidance reads it; a tokenizer that begins texts with a space has one in front."""
    prefix = '" " ' if has_prefix else ""
    if constraint.json_schema is not None:
        return f"start: {prefix}answer\nanswer: %json {_schema(constraint.json_schema)}"
    if constraint.regex is not None:
        rule = f"/{regex_to_lark(_encodable(constraint.regex), _ASCII_CLASSES)}/"
    else:
        rule = " | ".join(json.dumps(_encodable(choice)) for choice in constraint.choices or ())
    return f"start: {prefix}ANSWER\nANSWER: {rule}"


def _schema(text: str) -> str:
    """The schema as the grammar takes it: with our layout, whatever it says about layout itself."""
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(f"json_schema is no JSON: {error}") from error
    if not isinstance(schema, dict):
        raise _refused("json_schema is no JSON object")
    return json.dumps({**schema, "x-guidance": _JSON_LAYOUT})


def _library_tokenizer(tokenizer: Tokenizer) -> LLTokenizer:
    """The tokenizer without what changes text, so that it cuts tokens from the very bytes of an answer."""
    given = tokenizer.definition
    definition = {
        **given,
        "normalizer": None,
        "post_processor": None,
        "padding": None,
        "truncation": None,
        "pre_tokenizer": _without_prefix_space(given.get("pre_tokenizer")),
        "added_tokens": [
            {**token, "special": True} for token in tokenizer.definition.get("added_tokens", [])
        ],
    }
    try:
        return LLTokenizer(json.dumps(definition), eos_token=tokenizer.end_id)
    except ValueError as error:
        raise InvalidCheckpointError(f"tokenizer.json cannot be used for constraints: {error}") from error


def _without_prefix_space(part: Any) -> Any:
    if isinstance(part, dict):
        return {k: False if k == "add_prefix_space" else _without_prefix_space(v) for k, v in part.items()}
    return [_without_prefix_space(each) for each in part] if isinstance(part, list) else part


def _encodable(text: str) -> str:
    """The text, if UTF-8 can write it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _refused(f"{text!a} cannot be written in UTF-8") from error
    return text


def _refused(message: str) -> InvalidInputError:
    said = " ".join(_POINTERS.sub("", _SHOWN_GRAMMAR.sub("", message)).split())
    return InvalidInputError(f"constraint: {said[:_MAX_ERROR_CHARACTERS]}", reason="INVALID_CONSTRAINT")
