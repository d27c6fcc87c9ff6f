"""What suites of choice questions share: an answer that is parsed, and two closed sets that are scored.

Models differ in how they learnt to choose: some answer by a letter, some by the option's own words. So the
letters and the texts of the options are both scored, as whole answers to the very question that is answered
in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eureka.evaluation.counts import Counts, one
from eureka.evaluation.report import PaperFigure
from eureka.evaluation.suites.choices import parse_choice
from eureka.evaluation.suites.items import Inquiry, Item, choice_question, letters
from eureka.evaluation.suites.suite import Loader, Metric, PublicSuite, Replies
from eureka.types import Task

PARSED, BY_LETTER, BY_TEXT = "accuracy", "accuracy_letters", "accuracy_options"
"""Names of the scores."""


def choice_suite(*, load: Loader, paper: Mapping[tuple[str, str], PaperFigure], **about: Any) -> PublicSuite:
    """A suite of choice questions about audio, or spoken in it; `about` as of `PublicSuite`."""
    return PublicSuite(
        load=load,
        ask=_ask,
        metrics=(
            Metric(PARSED, "accuracy, answer parsed", _parsed),
            Metric(BY_LETTER, "accuracy, letters scored as a closed set", _by_letter),
            Metric(BY_TEXT, "accuracy, options scored as a closed set", _by_text),
        ),
        paper=paper,
        **about,
    )


def _ask(item: Item) -> tuple[Inquiry, ...]:
    question = choice_question(item.question, item.options) if item.question else ""
    return (
        Inquiry("answer", Task.ASK, question),
        Inquiry("letter", Task.ASK, question, labels=letters(item.options)),
        Inquiry("option", Task.ASK, question, labels=tuple(dict.fromkeys(item.options))),
    )


def _parsed(item: Item, replies: Replies) -> Counts:
    return one(parse_choice(replies["answer"].text, item.options) == item.right_letter)


def _by_letter(item: Item, replies: Replies) -> Counts:
    return one(replies["letter"].text == item.right_letter)


def _by_text(item: Item, replies: Replies) -> Counts:
    return one(replies["option"].text == item.reference)
