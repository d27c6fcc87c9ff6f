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


def _byte_alphabet() -> dict[str, int]:
    """Character -> byte of byte-level BPE: printable Latin-1 stands for itself, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF_CHARACTER = _byte_alphabet()


class Tokenizer:
    """Byte-level tokenizer whose special ids are known by their strings only.

    Args:
        definition: the JSON object of `tokenizer.json` (Hugging Face `tokenizers`).

    Raises:
        InvalidCheckpointError: the definition cannot be read or is not byte-level.
    """

    def __init__(self, definition: dict[str, Any]) -> None:
        self.definition = definition
        self._engine = _engine_of(definition)
        self._plain_engine = _engine_of({**definition, "added_tokens": [], "post_processor": None})
        if not _is_byte_level(definition.get("decoder")):
            raise InvalidCheckpointError(
                "tokenizer.json has no ByteLevel decoder; only byte-level BPE is served"
            )
        self._added = _added_tokens(self._engine, definition)
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
        """Text of ids; special tokens are left out, unknown ids dropped, the prefix space removed.

        Bytes that are no UTF-8 come out as U+FFFD.
        """
        text = b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")
        return text[1:] if self.adds_prefix_space and text.startswith(" ") else text

    def decode_raw(self, ids: Sequence[int]) -> str:
        """Text of ids with special tokens written out, for people who look at prompts."""
        return str(self._engine.decode(list(ids), skip_special_tokens=False))

    def token_bytes(self, token_id: int) -> bytes:
        """Bytes that a token stands for; none for special tokens and ids beyond the vocabulary."""
        if token_id < 0 or token_id in self._added_ids:
            return b""
        token = self._engine.id_to_token(token_id)
        if token is None:
            return b""
        try:
            return bytes(_BYTE_OF_CHARACTER[character] for character in token)
        except KeyError:  # a token outside the byte alphabet stands for itself, as in the library
            return token.encode()

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


def _added_tokens(engine: _Engine, definition: dict[str, Any]) -> dict[str, int]:
    """String -> id of every added token, as the library sees them and as the file says."""
    added = {token.content: token_id for token_id, token in engine.get_added_tokens_decoder().items()}
    for entry in definition.get("added_tokens", []):
        if added.get(entry["content"]) != entry["id"]:
            raise InvalidCheckpointError(
                f"tokenizer.json gives {entry['content']} the id {entry['id']}, "
                f"but it encodes as {added.get(entry['content'])}"
            )
    return added


def _time_tokens(added: dict[str, int]) -> dict[int, float]:
    matches = ((token_id, _TIME_TOKEN.fullmatch(token)) for token, token_id in added.items())
    return {token_id: float(match[1]) for token_id, match in matches if match}


def _is_byte_level(decoder: dict[str, Any] | None) -> bool:
    if decoder is None:
        return False
    if decoder.get("type") == "Sequence":
        return any(_is_byte_level(part) for part in decoder["decoders"])
    return decoder.get("type") == "ByteLevel"


def _adds_prefix_space(pre_tokenizer: dict[str, Any] | None) -> bool:
    if pre_tokenizer is None:
        return False
    if pre_tokenizer.get("type") == "Sequence":
        return any(_adds_prefix_space(part) for part in pre_tokenizer["pretokenizers"])
    return pre_tokenizer.get("type") == "ByteLevel" and bool(pre_tokenizer.get("add_prefix_space"))
