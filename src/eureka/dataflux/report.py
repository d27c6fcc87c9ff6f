"""The report of a run: one HTML page with charts, and a sample to read and listen to; needs no network."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from eureka.dataflux.checks import Candidate
from eureka.dataflux.dataset import Dataset, Discarded
from eureka.dataflux.items import Item
from eureka.dataflux.recipe import FluxRecipe
from eureka.dataflux.records import LETTERS, Answer, Answered, Verdict, digest_of

MEANING = {
    "BOTH_FAIL": "no sound answer fits the caption",
    "NO_ANSWER": "neither answer names an option",
    "TRACES_CONTRADICT": "no answer follows from its own trace",
    "CAPTION_DOUBTED": "most traces contradict the caption",
    "CAPTION_SILENT": "the caption does not say",
    "AMBIGUOUS": "several options fit",
    "NO_TRUE_OPTION": "no option fits",
    "BLIND": "answered without listening",
    "NEAR_DUPLICATE": "asked before about the same clips",
    "LEAK": "belongs to an evaluation",
    "QUOTA": "its category has enough",
}
"""Reason words in plain words."""


def report_page(dataset: Dataset, recipe: FluxRecipe, status: Mapping[str, Any], sample: int) -> str:
    """The whole page.

    Args:
        dataset: with audio, see `assemble`.
        recipe: of the run.
        status: as of `status_of`.
        sample: questions that are shown on either side, at most.
    """
    stages = status["stages"]
    yields = [
        ("written", stages["questions"]["written"]),
        ("answered", stages["answers"]["answered"]),
        ("accepted by the judge", stages["verdicts"]["accepted"]),
        ("kept after all checks", len(dataset.kept)),
    ]
    reasons = [(MEANING.get(reason, reason), count) for reason, count in dataset.reasons.most_common()]
    page = Template((files("eureka.dataflux") / "assets" / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=escape(recipe.name),
        summary=_summary(dataset, status),
        yields=_bars(yields),
        reasons=_bars(reasons),
        categories=_category_table(dataset),
        letters=_bars(sorted(Counter(LETTERS[c.option] for c in dataset.kept).items())),
        winners=_bars(sorted(Counter(c.verdict.winner.value for c in dataset.kept).items())),
        filters=_filters(dataset),
        kept="\n".join(_kept_cards(dataset, sample)),
        discarded="\n".join(_discarded_cards(dataset, sample)),
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """A question as a card shows it."""

    item: Item
    answered: Answered
    verdict: Verdict | None
    right: int | None
    reason: str
    options: Sequence[str]


def _summary(dataset: Dataset, status: Mapping[str, Any]) -> str:
    done, total = status["items_done"], dataset.num_items
    written = len(dataset.kept) + len(dataset.discarded)
    share = len(dataset.kept) / written if written else 0.0
    parts = [
        f"{done} of {total} recordings and scenes done",
        f"{len(dataset.kept)} questions kept ({share:.0%})",
    ]
    parts.append(f"{len(dataset.discarded)} discarded")
    cost = status["cost"]
    if cost["tokens"]:
        parts.append(f"{cost['tokens']:,} tokens, {cost['usd']:.2f} US dollars")
    return " · ".join(parts)


def _bars(rows: Iterable[tuple[str, int]]) -> str:
    """A bar a row, as long as its count says."""
    rows = list(rows)
    longest = max((count for _, count in rows), default=1) or 1
    return (
        "".join(
            f'<div class="bar"><span>{escape(name)}</span>'
            f'<i><b style="width:{100 * count / longest:.1f}%"></b></i><em>{count}</em></div>'
            for name, count in rows
        )
        or "<p>none</p>"
    )


def _category_table(dataset: Dataset) -> str:
    """Kept and written questions of each category, as two bars over each other."""
    kept = Counter(c.question.path.category for c in dataset.kept)
    written = Counter(q.path.category for o in dataset.outcomes.values() for q in o.questions)
    longest = max(written.values(), default=1)
    return "".join(
        f'<div class="bar"><span>{escape(name)}</span><i><u style="width:{100 * count / longest:.1f}%"></u>'
        f'<b style="width:{100 * kept[name] / longest:.1f}%"></b></i><em>{kept[name]} of {count}</em></div>'
        for name, count in sorted(written.items())
    )


def _filters(dataset: Dataset) -> str:
    skills = sorted({q.path.skill for o in dataset.outcomes.values() for q in o.questions})
    return "".join(f'<option value="{escape(skill)}">{escape(skill)}</option>' for skill in skills)


def _kept_cards(dataset: Dataset, sample: int) -> Iterable[str]:
    for candidate in _spread(dataset.kept, sample):
        outcome = dataset.outcomes[candidate.item]
        answered = outcome.answered[candidate.question.number]
        shown = _Shown(
            outcome.item, answered, candidate.verdict, candidate.option, "", candidate.question.options
        )
        yield _card(shown)


def _discarded_cards(dataset: Dataset, sample: int) -> Iterable[str]:
    for row in _spread_reasons(dataset.discarded, sample):
        outcome = dataset.outcomes[row.item]
        if row.question >= len(outcome.answered):
            continue
        answered = outcome.answered[row.question]
        verdict = outcome.verdicts[row.question] if row.question < len(outcome.verdicts) else None
        yield _card(_Shown(outcome.item, answered, verdict, None, row.reason, answered.question.options))


def _spread(kept: Sequence[Candidate], sample: int) -> list[Candidate]:
    """A sample over all categories: by turns, in an order that ids draw."""
    turns: Counter[str] = Counter()
    ranked = []
    for candidate in sorted(kept, key=lambda c: c.id):
        category = candidate.question.path.category
        turns[category] += 1
        ranked.append((turns[category], category, candidate))
    ranked.sort(key=lambda row: row[:2])
    return [candidate for _, _, candidate in ranked[:sample]]


def _spread_reasons(discarded: Sequence[Discarded], sample: int) -> list[Discarded]:
    turns: Counter[str] = Counter()
    ranked = []
    for row in sorted(discarded, key=lambda row: digest_of(row.item, row.question)):
        turns[row.reason] += 1
        ranked.append((turns[row.reason], row.reason, row))
    ranked.sort(key=lambda row: row[:2])
    return [row for _, _, row in ranked[:sample]]


def _card(shown: _Shown) -> str:
    question = shown.answered.question
    audio = base64.b64encode(shown.item.flac()).decode()
    options = "".join(
        f'<li class="{"right" if index == shown.right else ""}">{LETTERS[index]}. {escape(text)}</li>'
        for index, text in enumerate(shown.options)
    )
    reason = f'<p class="why">{escape(MEANING.get(shown.reason, shown.reason))}</p>' if shown.reason else ""
    verdict = "" if shown.verdict is None else f"<p>{escape(shown.verdict.reasoning)}</p>"
    return (
        f'<article data-skill="{escape(question.path.skill)}"><h3>{escape(question.text)}</h3>'
        f"<ol>{options}</ol>"
        f'<audio controls preload="none" src="data:audio/flac;base64,{audio}"></audio>{reason}'
        f"<details><summary>{escape(question.path.text)}</summary>{verdict}"
        f"<p><b>Caption</b> {escape(shown.item.record.text)}</p>"
        f"{_answer('A', shown.answered.first, question.options)}"
        f"{_answer('B', shown.answered.second, question.options)}"
        f"{_answer('Blind', shown.answered.blind, question.options)}</details></article>"
    )


def _answer(name: str, answer: Answer | None, options: Sequence[str]) -> str:
    if answer is None:
        return ""
    chosen = "no option" if answer.option is None else options[answer.option]
    return f"<p><b>{name}</b> {escape(chosen)} <small>{escape(answer.trace)}</small></p>"
