"""The tokenizer of a checkpoint folder: text to ids, ids to text, special ids by their string.

Covers encoding of trusted template text (special tokens recognised) and of callers' text (special
strings are plain characters), and time tokens. Does not cover prompt layouts (`prompts`) nor
streaming (`detokenizer`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as _Engine

from eureka.errors import InvalidCheckpointError

END_OF_TURN = "<|im_end|>"
"""Closes every turn; the only token that stops generation (eureka-audio 7)."""

_TIME_TOKEN = re.compile(r"<\|(\d+(?:\.\d+)?)\|>")
_CACHE_LIMIT = 4_096
"""Pieces remembered; prompts repeat a handful, questions come and go."""


class Tokenizer:
    """Byte-level tokenizer whose special ids are known by their strings only.

    Args:
        definition: the JSON object of `tokenizer.json` (Hugging Face `tokenizers`).

    Raises:
        InvalidCheckpointError: the definition cannot be read.
    """

    def __init__(self, definition: dict[str, Any]) -> None:
        self._engine = _engine_of(definition)
        self._plain_engine = _engine_of({**definition, "added_tokens": [], "post_processor": None})
        self._added = {entry["content"]: entry["id"] for entry in definition.get("added_tokens", [])}
        self._added_ids = frozenset(self._added.values())
        self._seconds = _time_tokens(self._added)
        self._id_by_seconds = {seconds: token_id for token_id, seconds in self._seconds.items()}
        self._cache: dict[str, tuple[int, ...]] = {}
        self.adds_prefix_space = _adds_prefix_space(definition.get("pre_tokenizer"))

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Read `tokenizer.json` of a checkpoint folder.

        Raises:
            InvalidCheckpointError: the file is missing or is no tokenizer.
        """
        path = folder / "tokenizer.json"
        try:
            definition = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidCheckpointError(f"cannot read {path}: {error}") from error
        if not isinstance(definition, dict):
            raise InvalidCheckpointError(f"{path} must hold one JSON object")
        return cls(definition)

    @property
    def vocab_size(self) -> int:
        """Number of ids that decode to something; rows of the embedding table may be more."""
        return int(self._engine.get_vocab_size(with_added_tokens=True))

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of all added tokens: markers, task words and time tokens."""
        return self._added_ids

    @property
    def end_id(self) -> int:
        """Id of `<|im_end|>`, the end of an answer."""
        return self.special_id(END_OF_TURN)

    def special_id(self, token: str) -> int:
        """Id of the special token written `token`.

        Raises:
            InvalidCheckpointError: this checkpoint has no such token.
        """
        try:
            return int(self._added[token])
        except KeyError:
            raise InvalidCheckpointError(f"the tokenizer has no special token {token}") from None

    def encode(self, text: str) -> list[int]:
        """Ids of trusted text: special strings in it become their special ids."""
        return list(self._engine.encode(text, add_special_tokens=False).ids)

    def encode_plain(self, text: str) -> tuple[int, ...]:
        """Ids of a caller's text: whatever it spells, no special id comes out."""
        known = self._cache.get(text)
        if known is None:
            known = self._encode_plain(text)
            if len(self._cache) < _CACHE_LIMIT:
                self._cache[text] = known
        return known

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; special tokens are left out, unknown ids dropped, the prefix space removed."""
        text = self.decode_raw([i for i in ids if i not in self._added_ids])
        return text[1:] if self.adds_prefix_space and text.startswith(" ") else text

    def decode_raw(self, ids: Sequence[int]) -> str:
        """Text of ids with special tokens written out; bytes of a split character give U+FFFD."""
        return str(self._engine.decode([i for i in ids if i >= 0], skip_special_tokens=False))

    def time_token_seconds(self, token_id: int) -> float | None:
        """Seconds that a time token stands for; None for any other id."""
        return self._seconds.get(token_id)

    def time_token_id(self, seconds: float) -> int | None:
        """Id of the time token nearest to `seconds`; None where the vocabulary has no time tokens."""
        if not self._id_by_seconds:
            return None
        return self._id_by_seconds[min(self._id_by_seconds, key=lambda known: abs(known - seconds))]

    def _encode_plain(self, text: str) -> tuple[int, ...]:
        ids = tuple(self._plain_engine.encode(text, add_special_tokens=False).ids)
        if self._added_ids.isdisjoint(ids):
            return ids
        # A vocabulary may reach a special string by whole-word look-up; single characters cannot.
        return tuple(
            i for char in text for i in self._plain_engine.encode(char, add_special_tokens=False).ids
        )


def _engine_of(definition: dict[str, Any]) -> _Engine:
    try:
        return _Engine.from_str(json.dumps(definition))
    except Exception as error:  # the library raises bare Exception
        raise InvalidCheckpointError(f"tokenizer.json cannot be used: {error}") from error


def _time_tokens(added: dict[str, int]) -> dict[int, float]:
    matches = ((token_id, _TIME_TOKEN.fullmatch(token)) for token, token_id in added.items())
    return {token_id: float(match[1]) for token_id, match in matches if match}


def _adds_prefix_space(pre_tokenizer: dict[str, Any] | None) -> bool:
    if pre_tokenizer is None:
        return False
    if pre_tokenizer.get("type") == "Sequence":
        return any(_adds_prefix_space(part) for part in pre_tokenizer["pretokenizers"])
    return pre_tokenizer.get("type") == "ByteLevel" and bool(pre_tokenizer.get("add_prefix_space"))
