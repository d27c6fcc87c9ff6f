"""What roles by `openai` have to return: the JSON contracts, as schemas to ask for and to check against."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from eureka.dataflux.records import Action, Consistency, Winner

MAX_TEXT, MAX_LINE = 1_800, 600
"""Letters of a free text, and of a question with its options; a limit keeps a model from running on."""

Text = Annotated[str, Field(max_length=MAX_TEXT)]

_OPTION = re.compile(r"^\s*([A-D])[.):]\s*(.+?)\s*$")
_ABOUT_TEXT = re.compile(
    r"\b(caption|description|transcript|described|according to the text)\b", re.IGNORECASE
)


class Contract(BaseModel):
    """A JSON object with these fields and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def schema_of(cls) -> dict[str, Any]:
        """The JSON schema, as endpoints take it: without lengths of texts, which make their grammars slow."""
        plain: dict[str, Any] = _without_lengths(cls.model_json_schema())
        return plain


class HeardEvent(Contract):
    """A sound with its times in seconds."""

    phrase: str = Field(min_length=1, max_length=60)
    start: float = Field(ge=0)
    end: float = Field(ge=0)


class CaptionReply(Contract):
    """What a captioner returns."""

    text: Text
    events: list[HeardEvent] = Field(max_length=40)
    words: Text | None
    background: str = Field(max_length=60)

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        for event in self.events:
            if event.end <= event.start:
                raise ValueError(f"{event.phrase!r} ends at {event.end}, before it starts")
        return self


class QuestionsReply(Contract):
    """What a writer returns."""

    is_success: bool
    questions: list[Annotated[str, Field(max_length=MAX_LINE)]] = Field(max_length=8)

    @model_validator(mode="after")
    def _are_questions(self) -> Self:
        if self.is_success != bool(self.questions):
            raise ValueError("questions are given exactly where is_success is true")
        for block in self.questions:
            read_block(block)
        return self


class AnswerReply(Contract):
    """What an answerer returns."""

    think: Text
    response: Literal["A", "B", "C", "D"]


class VerdictReply(Contract):
    """What a judge returns."""

    consensus: bool
    consistency_with_caption: Consistency
    winner: Winner
    reasoning: Text
    final_action: Action

    @model_validator(mode="after")
    def _keeps_a_winner_only(self) -> Self:
        if self.final_action is Action.KEEP and self.winner is Winner.NONE:
            raise ValueError("KEEP_USING_WINNER needs a winner")
        return self


def _without_lengths(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {name: _without_lengths(value) for name, value in plain.items() if name != "maxLength"}
    return [_without_lengths(value) for value in plain] if isinstance(plain, list) else plain


def read_block(block: str) -> tuple[str, tuple[str, ...]]:
    """Question and options of one string.

    Raises:
        ValueError: it has no question, not the options A to D in their order, two alike, or speaks of a text.
    """
    lines = [line for line in block.strip().splitlines() if line.strip()]
    found = [_OPTION.match(line) for line in lines[1:]]
    letters = "".join(match[1] if match else "?" for match in found)
    if letters != "ABCD":
        raise ValueError("a question is one line, then A. to D., a line each, parted by \\n")
    options = tuple(match[2] for match in found if match)
    if len({option.lower() for option in options}) < 4:
        raise ValueError(f"two options are alike: {options}")
    if _ABOUT_TEXT.search(block):
        raise ValueError("a question is about what is heard; it must not mention a caption or description")
    return lines[0].strip(), options
