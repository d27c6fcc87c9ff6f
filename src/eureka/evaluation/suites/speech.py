"""What suites of recognised speech share: one transcript an item, counted by words or by characters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eureka.evaluation.counts import Counts, one
from eureka.evaluation.report import PaperFigure
from eureka.evaluation.suites import normalisers
from eureka.evaluation.suites.items import Inquiry, Item
from eureka.evaluation.suites.suite import Loader, Metric, PublicSuite, Replies
from eureka.types import Task


def english_suite(
    *, load: Loader, paper: Mapping[tuple[str, str], PaperFigure] | None = None, **about: Any
) -> PublicSuite:
    """A suite of English speech; `about` as of `PublicSuite`."""
    return PublicSuite(
        load=load,
        ask=lambda item: (Inquiry("transcript", Task.TRANSCRIBE),),
        metrics=(Metric("wer", "WER", _word_errors, higher_is_better=False),),
        normalisation=normalisers.ENGLISH,
        paper=paper or {},
        **about,
    )


def mandarin_suite(
    *, load: Loader, paper: Mapping[tuple[str, str], PaperFigure] | None = None, **about: Any
) -> PublicSuite:
    """A suite of Mandarin speech; `about` as of `PublicSuite`."""
    return PublicSuite(
        load=load,
        ask=lambda item: (Inquiry("transcript", Task.TRANSCRIBE),),
        metrics=(Metric("cer", "CER", _character_errors, higher_is_better=False),),
        normalisation=normalisers.MANDARIN,
        paper=paper or {},
        **about,
    )


def _word_errors(item: Item, replies: Replies) -> Counts:
    return one(*normalisers.word_error_counts(item.reference, replies["transcript"].text))


def _character_errors(item: Item, replies: Replies) -> Counts:
    return one(*normalisers.character_error_counts(item.reference, replies["transcript"].text))
