"""What a run of DataFlux is worth by the records of its scenes, and its judge with faulty captions.

    python benchmarks/dataflux_truth.py recipes/dataflux/embedded.toml

reads the records of a finished run. The first table holds kept questions about scenes against the record,
frame by frame. The second lets the judge decide again about the same answers of the model, a fifth of the
captions being corrupted on purpose. Both are by category, in Markdown.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from eureka.cli.dataflux_parts import plan_of, read_run
from eureka.dataflux.dataset import Dataset, assemble
from eureka.dataflux.judge import GroundedJudge
from eureka.dataflux.noise import FaultyCaptioner
from eureka.dataflux.records import Answered, Caption, Verdict
from eureka.dataflux.truth import is_right, table, tally
from eureka.runtime.settings import load_settings

CORRUPTED = 0.2


def main(recipe: Path) -> None:
    settings = load_settings()
    run = read_run(recipe, settings)
    dataset = assemble(run.records, plan_of(run), run.recipe, settings.data_folder)
    print("\n".join(kept_table(dataset)))
    print(f"\nJudged again with {CORRUPTED:.0%} of the captions corrupted:\n")
    found = tally(judged_again(dataset))
    print(table({name: row.to_plain() for name, row in sorted(found.items())}))


def kept_table(dataset: Dataset) -> Iterator[str]:
    """Written, kept and right questions about scenes, a category a line."""
    counts: dict[str, Counter[str]] = {"all": Counter()}
    for outcome in dataset.outcomes.values():
        if outcome.item.kind == "scene":
            for question in outcome.questions:
                _count(counts, question.path.category, "written")
    for kept in dataset.kept:
        item = dataset.outcomes[kept.item].item
        if item.kind == "scene":
            _count(counts, kept.question.path.category, "kept")
            if is_right(item.record, kept.question, kept.option):
                _count(counts, kept.question.path.category, "right")
    yield "| category | written | kept | yield | right of those kept |"
    yield "|---|---|---|---|---|"
    for name, row in sorted(counts.items()):
        share = row["right"] / row["kept"] if row["kept"] else 1.0
        written, kept = row["written"], row["kept"]
        yield f"| {name} | {written} | {kept} | {kept / written:.2f} | {share:.3f} |"


def _count(counts: dict[str, Counter[str]], category: str, what: str) -> None:
    for name in ("all", category):
        counts.setdefault(name, Counter())[what] += 1


def judged_again(dataset: Dataset) -> Iterator[tuple[Caption, Answered, Verdict]]:
    """The questions about scenes with the model's answers, judged by captions of which some are wrong."""
    captioner, judge = FaultyCaptioner(CORRUPTED), GroundedJudge()
    for outcome in dataset.outcomes.values():
        if outcome.item.kind == "scene" and outcome.answered:
            verdicts = judge.judge(outcome.item, captioner.caption(outcome.item), outcome.answered)
            pairs = zip(outcome.answered, verdicts, strict=True)
            yield from ((outcome.item.record, answered, verdict) for answered, verdict in pairs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
