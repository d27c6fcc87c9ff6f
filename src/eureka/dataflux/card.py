"""The card of a data set: what is in it, how it was made, whose audio it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

from eureka.dataflux.dataset import Dataset
from eureka.dataflux.recipe import FluxRecipe, RoleConfig
from eureka.dataflux.records import LETTERS


def card_text(dataset: Dataset, recipe: FluxRecipe) -> str:
    """The card in Markdown."""
    items = {candidate.item for candidate in dataset.kept}
    seconds = sum(dataset.outcomes[number].item.seconds for number in items)
    categories = Counter(c.question.path.category for c in dataset.kept)
    letters = Counter(LETTERS[c.option] for c in dataset.kept)
    winners = Counter(c.verdict.winner.value for c in dataset.kept)
    sources = Counter(s for number in items for s in dataset.outcomes[number].item.source)
    head = [
        f"# {recipe.name}: listening questions by DataFlux",
        "",
        f"{len(dataset.kept)} multiple-choice questions about {len(items)} recordings and composed scenes "
        f"({seconds / 3600:.2f} h), made from train clips only. {len(dataset.discarded)} further questions "
        "were written and discarded.",
        "",
        "Files: `questions.jsonl` has one question a line; the tar shards are WebDataset: a FLAC of 16 kHz "
        "and a JSON row with its questions each, as `eureka train` reads them.",
        "",
        "## Who made them",
        "",
        *_table(("role", "by"), [(f.name, _by(getattr(recipe.roles, f.name))) for f in fields(recipe.roles)]),
        "",
        f"Seed {recipe.seed}. A question is kept where the answer of one answerer at least holds against "
        "caption, traces and rules; then leaks, near-duplicates and what can be answered without the audio "
        "are taken out, and the right options are spread over the places.",
    ]
    tables = [
        ("Categories", ("category", "questions"), categories),
        ("Right option", ("letter", "questions"), letters),
        ("Whose answer won", ("winner", "questions"), winners),
        ("Discarded", ("reason", "questions"), dataset.reasons),
        ("Audio", ("source and licence", "recordings"), sources),
    ]
    for title, names, counts in tables:
        rows = [(name, str(count)) for name, count in sorted(counts.items())]
        head += ["", f"## {title}", "", *_table(names, rows)]
    return "\n".join(head) + "\n"


def _by(role: RoleConfig) -> str:
    if role.by == "gateway":
        return f"this platform's model, {role.answers}"
    return role.by + (f" ({role.model})" if role.model else "") if role.by else "nobody"


def _table(names: tuple[str, ...], rows: list[tuple[str, str]]) -> list[str]:
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
