"""Prompt layouts: conversations with audio become rows of token ids and token types.

The layout follows eureka-audio 6 to the letter: pieces between special tokens are encoded on their
own, one `<|audio_pad|>` stands for each audio token, and type 3 marks where embeddings are spliced.
Callers' text never yields a special id. Needs numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidCheckpointError, InvalidInputError
from eureka.text.tokenizer import END_OF_TURN, Tokenizer
from eureka.text.turns import ROLES
from eureka.types import AudioPart, TextPart, Turn

TEXT_TYPE = 0
"""Token type of text, markers and generated tokens."""

AUDIO_TYPE = 3
"""Token type of audio positions; embeddings are substituted by type, not by id."""


class PromptSettings(Protocol):
    """What the layouts read from a checkpoint's config; `EurekaConfig` has these fields."""

    @property
    def prompts(self) -> Mapping[str, str]:
        """Literal prompts by name: transcribe_system, caption, classify."""
        ...

    @property
    def thinking(self) -> str:
        """`empty_block` or `none`."""
        ...

    @property
    def languages(self) -> Mapping[str, str]:
        """Language code -> English name, as it may stand in a hint."""
        ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt row.

    Attributes:
        prompt_ids: (L,) int64.
        token_type_ids: (L,) int64, 0 for text and 3 for audio positions.
    """

    prompt_ids: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]

    @property
    def num_audio_tokens(self) -> int:
        """Rows of audio embeddings that the prompt takes."""
        return int(np.count_nonzero(self.token_type_ids == AUDIO_TYPE))


class PromptBuilder:
    """Lays out prompts for one checkpoint.

    Args:
        tokenizer: the checkpoint's tokenizer.
        settings: the checkpoint's config, or anything with its three prompt fields.

    Raises:
        InvalidCheckpointError: the tokenizer lacks a marker that the layout needs.
    """

    def __init__(self, tokenizer: Tokenizer, settings: PromptSettings) -> None:
        self._tokenizer = tokenizer
        self._settings = settings
        self._turn_start = tokenizer.special_id("<|im_start|>")
        self._turn_end = tokenizer.special_id(END_OF_TURN)
        self._audio_start = tokenizer.special_id("<|audio_start|>")
        self._audio_pad = tokenizer.special_id("<|audio_pad|>")
        self._audio_end = tokenizer.special_id("<|audio_end|>")
        self._generation = self._generation_ids()
        self._frames: dict[tuple[str, str], tuple[list[int], list[int]]] = {}

    def build(self, conversation: Sequence[Turn]) -> Prompt:
        """Prompt of a conversation of any turns, several audios or none, ready for an answer.

        Raises:
            InvalidInputError: no turn, an unknown role, or an audio item without audio tokens.
        """
        if not conversation:
            raise InvalidInputError("a conversation needs at least one turn")
        ids: list[int] = []
        for turn in conversation:
            ids += self._turn_ids(turn)
        return self._prompt(ids + self._generation)

    def transcribe(self, num_audio_tokens: int, language: str | None = None) -> Prompt:
        """Prompt of the ASR layout; `language` is a code or name that the checkpoint knows.

        Raises:
            InvalidInputError: unknown language (reason UNSUPPORTED_LANGUAGE).
        """
        system = self._literal("transcribe_system")
        if language is not None:
            system = f"{system} {self.language_hint(language)}"
        head, tail = self._frame(system, "")
        return self._around(head, num_audio_tokens, tail)

    def caption(self, num_audio_tokens: int) -> Prompt:
        """Prompt that asks for a description of the audio."""
        head, tail = self._frame("", self._literal("caption"))
        return self._around(head, num_audio_tokens, tail)

    def classify(self, num_audio_tokens: int) -> Prompt:
        """Prompt that asks for a label of the audio."""
        head, tail = self._frame("", self._literal("classify"))
        return self._around(head, num_audio_tokens, tail)

    def ask(self, question: str, num_audio_tokens: int | Sequence[int]) -> Prompt:
        """Prompt with one or several audios before a caller's question.

        Raises:
            InvalidInputError: the question is blank.
        """
        if not question.strip():
            raise InvalidInputError("the question is empty", reason="EMPTY_QUESTION")
        counts = [num_audio_tokens] if isinstance(num_audio_tokens, int) else num_audio_tokens
        audios = tuple(AudioPart(count) for count in counts)
        return self.build([Turn("user", (*audios, TextPart(question)))])

    def language_hint(self, language: str) -> str:
        """The sentence that names the language in the system turn.

        Raises:
            InvalidInputError: the checkpoint does not name the language (UNSUPPORTED_LANGUAGE).
        """
        wanted = language.strip().lower()
        for code, name in self._settings.languages.items():
            if wanted in (code.lower(), name.lower()):
                return f"The language of the audio is {name}."
        known = ", ".join(f"{code} ({name})" for code, name in self._settings.languages.items())
        raise InvalidInputError(
            f"language {language!r} is not one that this checkpoint names; known: {known or 'none'}",
            reason="UNSUPPORTED_LANGUAGE",
        )

    def _literal(self, name: str) -> str:
        try:
            return self._settings.prompts[name]
        except KeyError:
            raise InvalidCheckpointError(f"config.json names no prompt {name!r}") from None

    def _frame(self, system: str, question: str) -> tuple[list[int], list[int]]:
        """Ids before and after the audio of a one-audio prompt of trusted text, remembered."""
        known = self._frames.get((system, question))
        if known is None:
            encode = self._tokenizer.encode
            head = [self._turn_start, *encode(f"system\n{system}"), *self._turn_close()] if system else []
            head += [self._turn_start, *encode("user\n"), self._audio_start]
            tail = [self._audio_end, *encode(question), *self._turn_close(), *self._generation]
            known = self._frames[(system, question)] = (head, tail)
        return known

    def _turn_ids(self, turn: Turn) -> list[int]:
        if turn.role not in ROLES:
            message = f"role {turn.role!r} is not one of {', '.join(ROLES)}"
            raise InvalidInputError(message, reason="UNKNOWN_ROLE")
        ids = [self._turn_start]
        text = f"{turn.role}\n"  # neighbouring text is one piece, as in the rendered template
        for part in turn.parts:
            if isinstance(part, TextPart):
                text += part.text
                continue
            ids += self._tokenizer.encode_plain(text)
            ids += self._audio_ids(part.num_audio_tokens)
            text = ""
        return [*ids, *self._tokenizer.encode_plain(text), *self._turn_close()]

    def _turn_close(self) -> list[int]:
        return [self._turn_end, *self._tokenizer.encode_plain("\n")]

    def _audio_ids(self, num_audio_tokens: int) -> list[int]:
        if num_audio_tokens < 1:
            raise InvalidInputError("an audio item holds no samples", reason="EMPTY_AUDIO")
        return [self._audio_start, *[self._audio_pad] * num_audio_tokens, self._audio_end]

    def _generation_ids(self) -> list[int]:
        plain = self._tokenizer.encode_plain
        ids = [self._turn_start, *plain("assistant\n")]
        if self._settings.thinking == "none":
            return ids
        start, end = (self._tokenizer.special_id(token) for token in ("<think>", "</think>"))
        return [*ids, start, *plain("\n\n"), end, *plain("\n\n")]

    def _around(self, head: list[int], num_audio_tokens: int, tail: list[int]) -> Prompt:
        if num_audio_tokens < 1:
            raise InvalidInputError("an audio item holds no samples", reason="EMPTY_AUDIO")
        return self._prompt([*head, *[self._audio_pad] * num_audio_tokens, *tail])

    def _prompt(self, ids: list[int]) -> Prompt:
        prompt_ids = np.array(ids, dtype=np.int64)
        # Pads come from audio parts alone: neither trusted nor callers' text holds one.
        types = np.where(prompt_ids == self._audio_pad, AUDIO_TYPE, TEXT_TYPE).astype(np.int64)
        return Prompt(prompt_ids, types)
