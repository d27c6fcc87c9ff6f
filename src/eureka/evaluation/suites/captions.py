"""Dense captions, scored by questions: a judge that never hears the audio answers from the caption alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import resources

from eureka.evaluation.counts import Counts, one
from eureka.evaluation.report import PaperFigure
from eureka.evaluation.suites.audio_choice import MMAR, MMAU
from eureka.evaluation.suites.choices import parse_choice
from eureka.evaluation.suites.items import Inquiry, Item, choice_question
from eureka.evaluation.suites.suite import Metric, PublicSuite, Replies
from eureka.types import Task

JUDGED = "judged"
"""Name of the judge's reply."""

CAPTIONER = "Qwen3-Omni-30B-A3B-Captioner"


@cache
def judge_prompt() -> str:
    """What the judge is told, with `{caption}` and `{question}`."""
    folder = resources.files("eureka.evaluation.suites") / "assets"
    return (folder / "caption_judge.txt").read_text(encoding="utf-8")


def prompt_for(item: Item, replies: Replies) -> str:
    """What the judge is asked about an item whose caption is there."""
    question = choice_question(item.question, item.options)
    prompt = judge_prompt().replace("{question}", question)
    return prompt.replace("{caption}", replies["caption"].text)


def final_answer(text: str) -> str:
    """What stands after the last `Answer:`; the whole text where there is none."""
    return text.rpartition("Answer:")[2].strip()


def _judged_right(item: Item, replies: Replies) -> Counts:
    return one(parse_choice(final_answer(replies[JUDGED].text), item.options) == item.right_letter)


def _caption_suite(of: PublicSuite, paper: Mapping[tuple[str, str], PaperFigure]) -> PublicSuite:
    return replace(
        of,
        name=f"{of.name}-caption",
        title=f"{of.title}, from the caption alone",
        ask=lambda item: (Inquiry("caption", Task.CAPTION),),
        metrics=(Metric("caption_accuracy", "accuracy of a judge that reads the caption", _judged_right),),
        paper=paper,
        judge_prompt=prompt_for,
    )


MMAU_CAPTION = _caption_suite(
    MMAU, {("test-mini", "caption_accuracy"): PaperFigure(52.96, None, 56.68, CAPTIONER)}
)
MMAR_CAPTION = _caption_suite(
    MMAR, {("test", "caption_accuracy"): PaperFigure(41.70, None, 46.40, CAPTIONER)}
)
