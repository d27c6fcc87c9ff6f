"""The data set of a run: accepted questions, checked as a whole, and what became of all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from eureka.dataflux import checks
from eureka.dataflux.checks import Candidate, Sifted
from eureka.dataflux.leaks import evaluated_clips, evaluated_questions
from eureka.dataflux.recipe import FluxRecipe
from eureka.dataflux.records import Stage, winning_option
from eureka.dataflux.stages import Outcome, RunPlan, look
from eureka.dataflux.store import RecordStore
from eureka.types import Pcm


@dataclass(frozen=True, slots=True)
class Discarded:
    """A question that did not come in: where it stands, and why not."""

    item: int
    question: int
    reason: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A checked data set.

    Attributes:
        kept: in order of items, the right options balanced.
        discarded: all other questions.
        outcomes: of the items that are begun, by number.
        num_items: of the whole run.
    """

    kept: tuple[Candidate, ...]
    discarded: tuple[Discarded, ...]
    outcomes: dict[int, Outcome] = field(repr=False)
    num_items: int

    @property
    def is_complete(self) -> bool:
        """Whether every item is through."""
        return self.num_items == sum(outcome.is_done for outcome in self.outcomes.values())

    @property
    def reasons(self) -> Counter[str]:
        """How often a question was discarded for each reason."""
        return Counter(row.reason for row in self.discarded)


def assemble(
    records: RecordStore,
    plan: RunPlan,
    recipe: FluxRecipe,
    data_folder: Path,
    load: Callable[[int], Pcm] | None = None,
) -> Dataset:
    """The data set that the records give; the same for the same records, in whatever order they came.

    Args:
        records: of the run.
        plan: of the run.
        recipe: says what is checked.
        data_folder: holds the clips, and those of evaluations.
        load: gives the audio of an item; needed to export it.
    """
    looked = ((number, look(records, plan, number, load)) for number in range(plan.count))
    outcomes = {number: outcome for number, outcome in looked if outcome is not None}
    accepted = [c for outcome in outcomes.values() for c in _accepted(outcome, recipe.seed)]
    kept, dropped = _checked(accepted, recipe, data_folder)
    judged = [row for outcome in outcomes.values() for row in _refused(outcome)]
    taken_out = [Discarded(c.item, c.question.number, reason) for reason, c in dropped]
    discarded = sorted([*judged, *taken_out], key=lambda row: (row.item, row.question))
    return Dataset(tuple(kept), tuple(discarded), outcomes, plan.count)


def _checked(
    accepted: list[Candidate], recipe: FluxRecipe, data_folder: Path
) -> tuple[list[Candidate], list[tuple[str, Candidate]]]:
    config = recipe.checks
    is_evaluated = evaluated_clips(data_folder, config.leaks)
    steps: list[tuple[str, Callable[[list[Candidate]], Sifted]]] = [
        ("LEAK", lambda rows: checks.without_leaks(rows, is_evaluated, evaluated_questions(config.leaks)))
    ]
    if config.near_duplicate:
        steps.append(
            ("NEAR_DUPLICATE", lambda rows: checks.without_near_duplicates(rows, config.near_duplicate))
        )
    if config.blind:
        steps.append(("BLIND", checks.without_blind))
    steps.append(("QUOTA", lambda rows: checks.within_quotas(rows, config.max_questions, config.max_share)))
    kept, dropped = accepted, []
    for reason, step in steps:
        sifted = step(kept)
        kept = sifted.kept
        dropped += [(reason, candidate) for candidate in sifted.dropped]
    return checks.balanced(kept), dropped


def _accepted(outcome: Outcome, seed: int) -> Iterable[Candidate]:
    item = outcome.item
    for answered, verdict in zip(outcome.answered, outcome.verdicts, strict=False):
        option = winning_option(answered, verdict)
        if verdict.is_kept and option is not None:
            yield Candidate(
                item.number,
                item.audio_id,
                item.parts,
                answered.question,
                option,
                verdict,
                answered.blind,
                seed,
            )


def _refused(outcome: Outcome) -> Iterable[Discarded]:
    """Questions that the judge discarded, or that a stage gave up on."""
    number = outcome.item.number
    if outcome.discarded is not None and outcome.discarded[0] is not Stage.CAPTION:
        yield from (Discarded(number, q.number, outcome.discarded[1]) for q in outcome.questions)
    for answered, verdict in zip(outcome.answered, outcome.verdicts, strict=False):
        if not verdict.is_kept:
            yield Discarded(number, answered.question.number, verdict.reason or "DISCARDED")
