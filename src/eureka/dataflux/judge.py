"""The grounded judge: answers, traces and caption held against each other by rule, no model asked.

It sees all questions of an item at once. Errors of answerers differ from question to question, a wrong
caption is the same for all: so what most traces of an item agree on says whether its caption can be trusted.
The order is that of eureka-audio section 9: agreement, each trace by itself, rules of the domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eureka.dataflux.describe import concluded, read_description
from eureka.dataflux.items import Item
from eureka.dataflux.matching import match_option
from eureka.dataflux.records import (
    LETTERS,
    Action,
    Answer,
    Answered,
    Caption,
    Consistency,
    Question,
    Verdict,
    Winner,
)
from eureka.dataflux.solve import true_options
from eureka.dataflux.traces import agreed, heard_in_traces

VERSION = 1
"""Raised when verdicts change."""


class GroundedJudge:
    """Keeps a question whose caption answer at least one sound answer gives; see `Judge`."""

    @property
    def identity(self) -> Any:
        """Version."""
        return ["grounded", VERSION]

    def judge(self, item: Item, caption: Caption, answered: Sequence[Answered]) -> list[Verdict]:
        """A verdict a question."""
        heard = agreed(heard_in_traces(answered, caption.seconds), caption.seconds)
        return [self._verdict(row, caption, heard) for row in answered]

    def _verdict(self, row: Answered, caption: Caption, heard: Caption | None) -> Verdict:
        consensus = row.first.option is not None and row.first.option == row.second.option
        expected = _expected(row, caption)
        if isinstance(expected, str):
            return Verdict.discard(expected, _SENTENCES[expected], consensus)
        if heard is not None and true_options(row.question, heard) != [expected]:
            return Verdict.discard("CAPTION_DOUBTED", _SENTENCES["CAPTION_DOUBTED"], consensus)
        sound = [is_self_consistent(row.question, answer) for answer in (row.first, row.second)]
        right = [
            holds and answer.option == expected
            for holds, answer in zip(sound, (row.first, row.second), strict=True)
        ]
        if not any(right):
            reason = _why_none(row, sound)
            return Verdict.discard(reason, _SENTENCES[reason], consensus)
        return _kept(right, consensus, LETTERS[expected], heard is not None)


def _expected(row: Answered, caption: Caption) -> int | str:
    """The option that the caption says is right, or the reason why it says none."""
    found = true_options(row.question, caption)
    if found is None:
        return "CAPTION_SILENT"
    if len(found) != 1:
        return "AMBIGUOUS" if found else "NO_TRUE_OPTION"
    return found[0]


def is_self_consistent(question: Question, answer: Answer) -> bool:
    """Whether an answer follows from its own trace: from its conclusion, and from what it says it heard.

    A trace that says neither is no evidence against its answer.
    """
    if answer.option is None:
        return False
    said = concluded(answer.trace)
    if said is not None and match_option(said, question.options) != answer.option:
        return False
    heard = read_description(answer.trace, 0.0)
    if heard is None:
        return True
    found = true_options(question, heard)
    return found is None or found == [answer.option]


def _why_none(row: Answered, sound: Sequence[bool]) -> str:
    if row.first.option is None and row.second.option is None:
        return "NO_ANSWER"
    if not any(sound):
        return "TRACES_CONTRADICT"
    return "BOTH_FAIL"


def _kept(right: Sequence[bool], consensus: bool, letter: str, is_supported: bool) -> Verdict:
    winner = Winner.TIE if all(right) else Winner.MODEL_A if right[0] else Winner.MODEL_B
    who = {Winner.TIE: "Both answers", Winner.MODEL_A: "Answer A", Winner.MODEL_B: "Answer B"}[winner]
    strong = winner is Winner.TIE or is_supported
    consistency = Consistency.STRONG_MATCH if strong else Consistency.WEAK_MATCH
    fits = "fit" if winner is Winner.TIE else "fits"
    return Verdict(consensus, consistency, winner, Action.KEEP, f"{who} {fits} the caption: {letter}.")


_SENTENCES = {
    "CAPTION_SILENT": "The caption says nothing about what is asked.",
    "AMBIGUOUS": "More than one option fits the caption.",
    "NO_TRUE_OPTION": "No option fits the caption.",
    "CAPTION_DOUBTED": "Most of what the traces heard contradicts the caption.",
    "NO_ANSWER": "Neither answer names an option.",
    "TRACES_CONTRADICT": "Neither answer follows from its own trace.",
    "BOTH_FAIL": "No answer that follows from its trace fits the caption.",
}
