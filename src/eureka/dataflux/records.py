"""What the stages hand on: captions, questions, answers, verdicts; plain JSON with a digest each.

    item -> caption -> questions -> answers -> verdicts -> dataset

A record is named by the digest of all that it follows from, so the same input, role and prompt find the
record that is there, and a changed role makes a new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from eureka.errors import DataLossError
from eureka.training.events import Event

LETTERS = "ABCD"
"""Names of the options."""


class Stage(StrEnum):
    """Stages that write a record an item, in order."""

    CAPTION = "caption"
    QUESTIONS = "questions"
    ANSWERS = "answers"
    VERDICTS = "verdicts"


class Winner(StrEnum):
    """Whose answer holds, as eureka-audio section 9 names it."""

    MODEL_A = "MODEL_A"
    MODEL_B = "MODEL_B"
    TIE = "TIE"
    NONE = "NONE"


class Consistency(StrEnum):
    """How an answer fits the caption."""

    STRONG_MATCH = "STRONG_MATCH"
    WEAK_MATCH = "WEAK_MATCH"
    CONFLICT = "CONFLICT"


class Action(StrEnum):
    """What becomes of a question."""

    KEEP = "KEEP_USING_WINNER"
    DISCARD = "DISCARD"


@dataclass(frozen=True, slots=True)
class Caption:
    """A structured description of one audio.

    Attributes:
        text: the dense caption, in sentences.
        seconds: length of the audio.
        events: what is heard when, in order of start.
        words: what is said; empty where nobody speaks, None where unknown.
        background: phrase of what sounds under everything; empty where nothing does.
        slots: slots of a spoken order.
        is_whole: nothing else is heard.
    """

    text: str
    seconds: float
    events: tuple[Event, ...] = ()
    words: str | None = None
    background: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)
    is_whole: bool = True

    @property
    def phrases(self) -> tuple[str, ...]:
        """What is heard, each once, in order of start."""
        return tuple(dict.fromkeys(event.phrase for event in self.events))

    def to_plain(self) -> dict[str, Any]:
        """Plain object for JSON."""
        events = [[e.phrase, round(e.start_seconds, 2), round(e.end_seconds, 2)] for e in self.events]
        return {
            "text": self.text,
            "seconds": round(self.seconds, 3),
            "events": events,
            "words": self.words,
            "background": self.background,
            "slots": dict(sorted(self.slots.items())),
            "is_whole": self.is_whole,
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Caption:
        """Read the plain object."""
        events = tuple(Event(phrase, start, end) for phrase, start, end in plain["events"])
        return cls(**{**plain, "events": events})


@dataclass(frozen=True, slots=True)
class CategoryPath:
    """Where a question belongs: domain, group, thing (L0 to L2), and what is asked (L3)."""

    domain: str
    group: str
    thing: str
    skill: str

    @property
    def text(self) -> str:
        """`Sound > animals > dog bark > first`."""
        return " > ".join((self.domain, self.group, self.thing, self.skill))

    @property
    def category(self) -> str:
        """What quotas and figures go by: `sound/first`."""
        return f"{self.domain}/{self.skill}"


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its options; it does not say which is right.

    Attributes:
        number: from 0, within its item.
        path: its category.
        text: for somebody who listens.
        options: two to four that differ.
        about: phrase, slot or word that is asked about, where the family has one.
    """

    number: int
    path: CategoryPath
    text: str
    options: tuple[str, ...]
    about: str = ""

    @property
    def block(self) -> str:
        """One string: the question and its lettered options, a line each."""
        lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False)]
        return "\n".join([self.text, *lines])

    def to_plain(self) -> dict[str, Any]:
        """Plain object for JSON."""
        path = [self.path.domain, self.path.group, self.path.thing, self.path.skill]
        return {
            "number": self.number,
            "path": path,
            "text": self.text,
            "options": list(self.options),
            "about": self.about,
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Question:
        """Read the plain object."""
        path = CategoryPath(*plain["path"])
        return cls(plain["number"], path, plain["text"], tuple(plain["options"]), plain["about"])


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answerer chose, and why.

    Attributes:
        option: index of the option; None where what it said fits none.
        trace: its reasoning, or what it heard, in words.
        said: its answer in its own words.
        confidence: probability of the option where it is known.
    """

    option: int | None
    trace: str = ""
    said: str = ""
    confidence: float | None = None

    def to_plain(self) -> dict[str, Any]:
        """Plain object for JSON."""
        confidence = None if self.confidence is None else round(self.confidence, 4)
        return {"option": self.option, "trace": self.trace, "said": self.said, "confidence": confidence}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Answer:
        """Read the plain object."""
        return cls(**plain)


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with both answers, and what somebody chose who heard nothing (None: nobody was asked)."""

    question: Question
    first: Answer
    second: Answer
    blind: Answer | None = None

    def to_plain(self) -> dict[str, Any]:
        """Plain object for JSON; the question stands in its own record."""
        blind = None if self.blind is None else self.blind.to_plain()
        return {"a": self.first.to_plain(), "b": self.second.to_plain(), "blind": blind}

    @classmethod
    def of_plain(cls, question: Question, plain: Mapping[str, Any]) -> Answered:
        """Read the plain object."""
        blind = None if plain["blind"] is None else Answer.of_plain(plain["blind"])
        return cls(question, Answer.of_plain(plain["a"]), Answer.of_plain(plain["b"]), blind)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's decision about one question; the contract of eureka-audio section 9.

    `reason` is a word for counting (empty where kept), `reasoning` says it in a sentence.
    """

    consensus: bool
    consistency: Consistency
    winner: Winner
    action: Action
    reasoning: str
    reason: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether the winner's answer becomes the label."""
        return self.action is Action.KEEP

    def to_plain(self) -> dict[str, Any]:
        """Plain object for JSON, with the names of the contract."""
        return {
            "consensus": self.consensus,
            "consistency_with_caption": self.consistency.value,
            "winner": self.winner.value,
            "reasoning": self.reasoning,
            "final_action": self.action.value,
            "reason": self.reason,
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Verdict:
        """Read the plain object."""
        return cls(
            plain["consensus"],
            Consistency(plain["consistency_with_caption"]),
            Winner(plain["winner"]),
            Action(plain["final_action"]),
            plain["reasoning"],
            plain.get("reason", ""),
        )

    @classmethod
    def discard(cls, reason: str, reasoning: str, consensus: bool = False) -> Verdict:
        """Nobody wins."""
        return cls(consensus, Consistency.CONFLICT, Winner.NONE, Action.DISCARD, reasoning, reason)


def winning_option(answered: Answered, verdict: Verdict) -> int | None:
    """The option that the winner chose; None where nobody won."""
    if verdict.winner is Winner.NONE:
        return None
    return (answered.second if verdict.winner is Winner.MODEL_B else answered.first).option


def canonical(plain: Any) -> bytes:
    """JSON that is the same bytes for the same content."""
    return json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def digest_of(*parts: Any) -> str:
    """Name of a record that follows from `parts`, 32 hex digits of a sha256."""
    return hashlib.sha256(canonical(parts)).hexdigest()[:32]


def from_json(content: bytes, key: str) -> dict[str, Any]:
    """The object of a stored record.

    Raises:
        DataLossError: it is none.
    """
    try:
        plain = json.loads(content)
    except ValueError as error:
        raise DataLossError(f"record {key} is not JSON; delete it and run again") from error
    if not isinstance(plain, dict):
        raise DataLossError(f"record {key} is no JSON object; delete it and run again")
    return plain


def kept_first(options: Sequence[str], option: int) -> tuple[str, ...]:
    """The options with one moved to the front."""
    return (options[option], *(text for index, text in enumerate(options) if index != option))
