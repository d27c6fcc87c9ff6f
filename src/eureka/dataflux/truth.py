"""How far a judge can be trusted: answers held against the true record, frame by frame.

    python -m eureka.dataflux.truth --scenes 600

composes scenes, corrupts captions and answers on purpose, lets the judge decide, and says what part of the
wrong answers it discarded and what part of the right ones it kept. `is_right` reads the record in frames of
10 ms; it shares no code with the writer or the judge.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eureka.dataflux.distractors import Distractors
from eureka.dataflux.items import Item
from eureka.dataflux.judge import GroundedJudge
from eureka.dataflux.noise import FaultyCaptioner, RecordAnswerer
from eureka.dataflux.recipe import FluxRecipe, SceneConfig
from eureka.dataflux.records import Answered, Caption, Question, Verdict, winning_option
from eureka.dataflux.sources import FolderSource
from eureka.dataflux.taxonomy import load_taxonomy
from eureka.dataflux.writer import GroundedWriter

FRAMES_PER_SECOND = 100

_NUMBER_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight"]
_VOICES = {"a man": "man speaking", "a woman": "woman speaking", "a child": "child speaking"}


def is_right(record: Caption, question: Question, option: int) -> bool:
    """Whether an option is the right one by the record alone."""
    chosen, skill = question.options[option], question.path.skill
    frames = _frames(record)
    if skill in ("when", "how-long"):
        return _is_nearest(frames.get(question.about), question, option)
    if skill == "said":
        return chosen.split() == (record.words or "").split()
    if skill == "word":
        return f" {chosen} " in f" {record.words} "
    if skill == "order":
        return record.slots.get(question.about) == chosen
    if skill == "background":
        return chosen in frames and bool(np.mean(frames[chosen]) > 0.97)
    return _is_right_of_sounds(frames, skill, chosen)


def _is_right_of_sounds(frames: dict[str, NDArray[np.bool_]], skill: str, chosen: str) -> bool:
    if skill == "what":
        return chosen in frames
    if skill == "what-not":
        return chosen not in frames
    if skill == "count":
        return _NUMBER_WORDS[len(frames)] == chosen
    if skill == "who":
        voices = [name for name, phrase in _VOICES.items() if phrase in frames]
        return voices == [chosen] if voices else chosen == "nobody"
    # Within the first or last sound it is the one whose start no other comes near.
    starts = {name: [i for i in np.flatnonzero(on) if i == 0 or not on[i - 1]] for name, on in frames.items()}
    if chosen not in starts:
        return False
    others = [i for name, found in starts.items() if name != chosen for i in found]
    if skill == "first":
        return bool(min(starts[chosen]) < min(others))
    return skill == "last" and bool(max(starts[chosen]) > max(others))


def _frames(record: Caption) -> dict[str, NDArray[np.bool_]]:
    """Phrase -> in which frames it is heard, (F,) bool."""
    count = math.ceil(record.seconds * FRAMES_PER_SECOND)
    heard: dict[str, NDArray[np.bool_]] = {}
    for event in record.events:
        on = heard.setdefault(event.phrase, np.zeros(count, np.bool_))
        on[round(event.start_seconds * 100) : max(1, round(event.end_seconds * 100))] = True
    return heard


def _is_nearest(on: NDArray[np.bool_] | None, question: Question, option: int) -> bool:
    if on is None or not on.any():
        return False
    is_start = question.path.skill == "when"
    true = float(np.argmax(on)) / 100 if is_start else float(on.sum()) / 100
    said = [float(text.replace("about", "").replace("at", "").split()[0]) for text in question.options]
    off = [abs(s - true) if is_start else abs(math.log(max(s, 0.01) / true)) for s in said]
    return off.index(min(off)) == option and (off[option] < 0.6 if is_start else off[option] < math.log(1.5))


@dataclass(slots=True)
class Tally:
    """Questions by what their winning answer was worth, and by what became of them."""

    counts: Counter[tuple[bool, bool]] = field(default_factory=Counter)

    def add(self, right: bool, kept: bool) -> None:
        """One more."""
        self.counts[(right, kept)] += 1

    def to_plain(self) -> dict[str, Any]:
        """Counts and the three shares; a share of nothing is None."""
        wrong_out, wrong_in = self.counts[(False, False)], self.counts[(False, True)]
        right_out, right_in = self.counts[(True, False)], self.counts[(True, True)]
        return {
            "questions": self.counts.total(),
            "kept": wrong_in + right_in,
            "yield": _share(wrong_in + right_in, self.counts.total()),
            "precision": _share(right_in, right_in + wrong_in),
            "recall": _share(right_in, right_in + right_out),
            "wrong_discarded": _share(wrong_out, wrong_out + wrong_in),
        }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def tally(judged: Iterable[tuple[Caption, Answered, Verdict]]) -> dict[str, Tally]:
    """Tallies of all questions, and of each category.

    The winning answer of a discarded question is the one that both gave, else that of A: what would have
    been the label without a judge.
    """
    tallies: dict[str, Tally] = defaultdict(Tally)
    for record, answered, verdict in judged:
        option = winning_option(answered, verdict)
        if option is None:
            option = answered.first.option
        right = option is not None and is_right(record, answered.question, option)
        for name in ("all", answered.question.path.category):
            tallies[name].add(right, verdict.is_kept)
    return dict(tallies)


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of what goes wrong: A and B err, captions and answers are corrupted on purpose."""

    first: float = 0.10
    second: float = 0.15
    captions: float = 0.20
    answers: float = 0.20


def judged_with_faults(
    source: FolderSource, numbers: Iterable[int], faults: Faults, seed: int = 1
) -> Iterable[tuple[Caption, Answered, Verdict]]:
    """Questions of items with faulty captions and answers, as the grounded judge decides them."""
    taxonomy = load_taxonomy()
    captioner = FaultyCaptioner(faults.captions, seed)
    writer = GroundedWriter(taxonomy, Distractors(taxonomy, source.rows), seed=seed)
    first = RecordAnswerer("a", faults.first, faults.answers, seed)
    second = RecordAnswerer("b", faults.second, faults.answers, seed)
    for number in numbers:
        item: Item = source.open(number)
        caption = captioner.caption(item)
        questions = writer.write(item, caption)
        pairs = zip(questions, first.answer(item, questions), second.answer(item, questions), strict=True)
        answered = [Answered(*row) for row in pairs]
        verdicts = GroundedJudge().judge(item, caption, answered)
        yield from ((item.record, row, verdict) for row, verdict in zip(answered, verdicts, strict=True))


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m eureka.dataflux.truth`: prints a Markdown table, or JSON."""
    parser = argparse.ArgumentParser(description="Try the grounded judge with faults made on purpose.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--scenes", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    recipe = FluxRecipe("truth", seed=chosen.seed, scenes=SceneConfig(chosen.scenes))
    source = FolderSource(chosen.data, recipe)
    found = tally(judged_with_faults(source, range(chosen.scenes), Faults(), chosen.seed))
    plain = {name: row.to_plain() for name, row in sorted(found.items())}
    print(json.dumps(plain, indent=1) if chosen.json else table(plain))
    return 0


def table(plain: dict[str, dict[str, Any]]) -> str:
    """Tallies as a Markdown table."""
    columns = ("questions", "kept", "yield", "precision", "recall", "wrong_discarded")
    lines = [f"| category | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in plain.items():
        cells = ["-" if row[column] is None else str(row[column]) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
