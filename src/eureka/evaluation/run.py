"""Running the suite: a report for a checkpoint, and the commands `evaluate nano` and `evaluate compare`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from eureka import __version__
from eureka.engine.choice import BackendChoice
from eureka.errors import InvalidInputError
from eureka.evaluation.arguments import PARTS, SPLITS
from eureka.evaluation.changes import changed_items, changes_to_list, changes_to_markdown
from eureka.evaluation.comparison import compare_files, differences_to_dict, differences_to_markdown
from eureka.evaluation.goals import in_report_order
from eureka.evaluation.heard_file import HeardFile, answers_path
from eureka.evaluation.hearing import Heard, Question, weights_digest
from eureka.evaluation.hearing_pool import HearingPool, default_num_workers
from eureka.evaluation.metrics import NORMALISATION
from eureka.evaluation.report import Report, Row
from eureka.evaluation.routing import WatchedModel, routing_rows
from eureka.evaluation.sets import EvaluationClip
from eureka.evaluation.suite import ROW_MAKERS, SEED, SetSizes, Suite
from eureka.evaluation.suites.records import Record, RecordFile, items_path
from eureka.model.config import EurekaConfig
from eureka.training.manifest import MANIFEST_NAME, read_manifest

Progress = Callable[[str], None]
"""Told in a few words how far the run is."""


def evaluate_checkpoint(
    folder: Path,
    data_folder: Path,
    split: str = "dev",
    limit: int | None = None,
    *,
    parts: Sequence[str] = PARTS,
    num_workers: int | None = None,
    progress: Progress | None = None,
    choice: BackendChoice | None = None,
    answers: Path | None = None,
) -> Report:
    """Measure every row of the suite on a checkpoint.

    Args:
        folder: the checkpoint.
        data_folder: pack of recordings with manifest.jsonl.
        split: `dev` to decide; `train` only to see what was memorised.
        limit: at most this many clips a set, for decisions during training; None for all.
        parts: names out of `PARTS`.
        num_workers: processes; two where there are two cores when omitted.
        progress: told what is going on.
        choice: what computes; routing is always watched in torch.
        answers: file in which the answers of each set are kept, and from which a killed run goes on.

    Raises:
        InvalidInputError: unknown split or part, or a limit below 1.
        NotFoundError: no manifest in `data_folder`.
        InvalidCheckpointError: the folder holds no fitting checkpoint.
    """
    _check(split, limit, parts)
    read_manifest(data_folder, split)  # a missing pack is refused before a model is loaded
    tell = progress or (lambda _: None)
    started = time.monotonic()
    rows: list[Row] = []
    facts = _facts(choice or BackendChoice(), folder, data_folder)
    kept = None if answers is None else HeardFile(answers, _decides(folder, split, limit, facts))
    with HearingPool(folder, num_workers or default_num_workers(), choice) as pool:
        memory = _Memory(pool, tell, kept)
        suite = Suite(data_folder, split, memory.hear, limit, SetSizes().limited(limit))
        for part in parts:
            if part in ROW_MAKERS:
                memory.part = part
                rows += ROW_MAKERS[part](suite)
    if "routing" in parts:
        tell("routing")
        rows += routing_rows(suite, WatchedModel.from_folder(folder))
    if kept is not None:
        kept.end()
    facts = {
        "seconds": round(time.monotonic() - started, 1),
        "limit": limit,
        "parts": list(parts),
        **facts,
    }
    return Report("nano", split, str(folder), in_report_order(rows), facts)


class _Memory:
    """Asks the pool, and remembers: rows share clips, and a clip asked twice answers the same."""

    def __init__(self, pool: HearingPool, tell: Progress, kept: HeardFile | None = None) -> None:
        self._pool = pool
        self._tell = tell
        self._kept = kept
        self._known: dict[tuple[str, Question], Heard] = dict(kept.known) if kept is not None else {}
        self.part = ""

    def hear(self, clips: Sequence[EvaluationClip], question: Question) -> list[Heard]:
        """Answers in order, from memory where the clip was asked the same before."""
        new = list({c.clip_id: c for c in clips if (c.clip_id, question) not in self._known}.values())
        done = 0

        def report(count: int) -> None:
            nonlocal done
            done += count
            self._tell(f"{self.part}: {question.task.value} {done}/{len(new)}")

        answers = self._pool.hear([clip.pcm for clip in new], [question] * len(new), report)
        fresh = {(c.clip_id, question): heard for c, heard in zip(new, answers, strict=True)}
        if self._kept is not None and fresh:
            self._kept.add(fresh.items())
        self._known |= fresh
        return [self._known[clip.clip_id, question] for clip in clips]


def _decides(folder: Path, split: str, limit: int | None, facts: dict[str, Any]) -> dict[str, Any]:
    """What decides the answers to a question about a clip; the limit decides which clips are composed."""
    named = {name: facts[name] for name in ("data_sha256", "seed", "version", "backend", "numerics")}
    return {"weights_sha256": weights_digest(folder), "split": split, "limit": limit, **named}


def _check(split: str, limit: int | None, parts: Sequence[str]) -> None:
    if split not in SPLITS:
        raise InvalidInputError(f"split {split!r} is none of {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise InvalidInputError(f"limit is {limit}; it must be at least 1")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise InvalidInputError(f"unknown part {unknown[0]!r}; there are {', '.join(PARTS)}")


def _facts(choice: BackendChoice, folder: Path, data_folder: Path) -> dict[str, Any]:
    """What a number needs beside it: data, machine, versions, date, seed, normalisation."""
    return {
        "data_sha256": hashlib.sha256((data_folder / MANIFEST_NAME).read_bytes()).hexdigest(),
        "seed": SEED,
        "normalisation": NORMALISATION,
        "version": __version__,
        "backend": choice.resolve(EurekaConfig.from_folder(folder)),
        "numerics": choice.numerics,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def main(
    arguments: argparse.Namespace,
    checkpoint: Path,
    data_folder: Path,
    choice: BackendChoice | None = None,
) -> int:
    """Run `evaluate` as parsed by `eureka.evaluation.arguments`; gives the exit status.

    Args:
        arguments: parsed arguments.
        checkpoint: the folder where `--checkpoint` names none.
        data_folder: the pack where `--data-folder` names none.
        choice: what computes.

    Raises:
        EurekaError: see `evaluate_checkpoint` and `read_report`.
    """
    if arguments.suite == "compare":
        return _compare(arguments)
    if arguments.reports:
        raise InvalidInputError(f"{arguments.suite} takes no reports; did you mean evaluate compare A B?")
    with_progress = ProgressLine(sys.stderr)
    report = evaluate_checkpoint(
        arguments.checkpoint or checkpoint,
        arguments.data_folder or data_folder,
        arguments.split or SPLITS[-1],
        arguments.limit,
        parts=[part.strip() for part in arguments.parts.split(",") if part.strip()],
        num_workers=arguments.workers,
        progress=with_progress,
        choice=choice,
        answers=None if arguments.output is None else answers_path(arguments.output),
    )
    with_progress.end()
    if arguments.output is not None:
        report.write_json(arguments.output)
        write_items(report, items_path(arguments.output))
        arguments.output.with_suffix(".md").write_text(report.to_markdown(), encoding="utf-8")
    print(json.dumps(report.to_dict(), indent=2) if arguments.format == "json" else report.to_markdown())
    return 0


def write_items(report: Report, path: Path) -> None:
    """Write what each clip contributes to each row, so that two reports can be paired."""
    run = {"suite": report.suite, "split": report.split, "checkpoint": report.checkpoint}
    records = (
        Record(f"{row.name}/{item}", {}, scores={row.name: counts})
        for row in report.rows
        for item, counts in row.counts.items()
    )
    RecordFile(path, run, is_fresh=True).finish(records)


def _compare(arguments: argparse.Namespace) -> int:
    if len(arguments.reports) != 2:
        raise InvalidInputError(f"evaluate compare takes two reports, not {len(arguments.reports)}")
    before, after, differences = compare_files(*arguments.reports)
    changes = changed_items(*arguments.reports) if arguments.show else []
    if arguments.format == "json":
        plain = differences_to_dict(differences) | {"changed": changes_to_list(changes, arguments.show)}
        print(json.dumps(plain, indent=2))
    else:
        print(differences_to_markdown(before, after, differences), end="")
        if arguments.show:
            print("\n" + changes_to_markdown(changes, arguments.show), end="")
    return 0


class ProgressLine:
    """One line on a terminal that is written over; nothing where stderr is none."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()

    def __call__(self, text: str) -> None:
        """Write over the line."""
        if self._is_terminal:
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()

    def end(self) -> None:
        """Leave an empty line behind."""
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
