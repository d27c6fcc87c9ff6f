"""What can be told of an instruction without its tokenizer: language, roles, turns, lengths."""

from __future__ import annotations

from eureka.errors import InvalidInputError, PromptTooLongError
from eureka.text.turns import check_turn
from eureka.types import Instruction, ModelCard, Task, TextPart

MAX_CHARACTERS_PER_TOKEN = 32
"""More text than the context times this cannot fit, and is refused before anything is spent on it."""


def check_against_card(card: ModelCard, instruction: Instruction) -> None:
    """Refuse an instruction that a checkpoint cannot lay out, as its decoder would.

    Raises:
        InvalidInputError: reason UNSUPPORTED_LANGUAGE, EMPTY_CONVERSATION, UNKNOWN_ROLE, EMPTY_TURN or
            EMPTY_QUESTION.
        PromptTooLongError: far more text than the context holds.
    """
    if instruction.task is Task.TRANSCRIBE and instruction.language is not None:
        _check_language(card, instruction.language)
    if instruction.task is not Task.ASK:
        return
    if not instruction.turns:
        raise InvalidInputError("a conversation needs at least one turn", reason="EMPTY_CONVERSATION")
    for turn in instruction.turns:
        check_turn(turn)
    check_text_length(instruction, card.context_tokens)


def check_text_length(instruction: Instruction, context_tokens: int) -> None:
    """Refuse text that cannot fit a context, whatever its tokens.

    Raises:
        PromptTooLongError: it cannot.
    """
    parts = (part for turn in instruction.turns for part in turn.parts)
    num_characters = sum(len(part.text) for part in parts if isinstance(part, TextPart))
    limit = context_tokens * MAX_CHARACTERS_PER_TOKEN
    if num_characters > limit:
        raise PromptTooLongError(
            f"the conversation has {num_characters:,} characters; a context of {context_tokens:,} tokens "
            f"takes at most {limit:,}: shorten it"
        )


def _check_language(card: ModelCard, language: str) -> None:
    wanted = language.strip().lower()
    if any(wanted in (code.lower(), name.lower()) for code, name in card.languages.items()):
        return
    known = ", ".join(f"{code} ({name})" for code, name in card.languages.items())
    raise InvalidInputError(
        f"language {language!r} is not one that this checkpoint names; known: {known or 'none'}",
        reason="UNSUPPORTED_LANGUAGE",
    )
