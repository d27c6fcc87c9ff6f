"""`evaluate SUITE` for published suites, and `evaluate table`: from parsed arguments to report and table."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eureka import __version__
from eureka.errors import InvalidInputError, NotFoundError
from eureka.evaluation.report import Report, read_report
from eureka.evaluation.sets import pick_spread
from eureka.evaluation.suites.confusion import confusion_of, confusion_path, write_confusion
from eureka.evaluation.suites.items import Item
from eureka.evaluation.suites.judge import Judge, JudgeConfig
from eureka.evaluation.suites.records import RecordFile, items_path
from eureka.evaluation.suites.registry import suite_named
from eureka.evaluation.suites.responders import Responder
from eureka.evaluation.suites.runner import Progress, answer_items, rows_of
from eureka.evaluation.suites.suite import PublicSuite
from eureka.evaluation.suites.table import group_table, paper_table

RUNS = Path("runs") / "evaluate"
"""Where reports go that name no --output; below the folder that the command works in."""

KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable with the judge's key, where --judge-key-file names no file."""

OpenResponder = Callable[[], Responder]


def run_suite(
    suite: PublicSuite,
    folder: Path,
    open_responder: OpenResponder,
    output: Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    judge: Judge | None = None,
    is_fresh: bool = False,
    checkpoint: str = "",
    progress: Progress = lambda _: None,
) -> Report:
    """Measure one suite, or go on with it where `output` has its records; the report is written and returned.

    Args:
        suite: what is measured.
        folder: of its data.
        open_responder: opens what answers, once the data are there.
        output: JSON report; records and Markdown lie beside it.
        split: of the data; the suite's first when omitted.
        limit: at most this many items, spread over the set by the hash of their names.
        judge: reads replies, where the suite needs one.
        is_fresh: begin anew whatever records there are.
        checkpoint: as the report names it; the model's own name when empty.
        progress: told how far the run is.

    Raises:
        NotFoundError: no data there; says where they come from.
        InvalidInputError: an unknown split, a limit below 1, or records of another run.
    """
    if limit is not None and limit < 1:
        raise InvalidInputError(f"limit is {limit}; it must be at least 1")
    chosen, items = suite.items(folder, split)
    items = pick_spread(items, lambda item: item.item_id, limit)
    started = time.monotonic()
    with open_responder() as responder:
        run = _run_head(suite, chosen, limit, responder, judge)
        file = RecordFile(items_path(output), run, is_fresh=is_fresh)
        records = answer_items(suite, items, responder, file, judge, progress)
    facts = run | _facts(suite, items, time.monotonic() - started)
    name = checkpoint or run["model"]
    report = Report(suite.name, chosen, name, tuple(rows_of(suite, chosen, records)), facts)
    report.write_json(output)
    if suite.said is not None:
        write_confusion(confusion_path(output), confusion_of(suite, items, records))
    output.with_suffix(".md").write_text(to_markdown(report), encoding="utf-8")
    return report


def _run_head(
    suite: PublicSuite, split: str, limit: int | None, responder: Responder, judge: Judge | None
) -> dict[str, Any]:
    """What decides the answers: equal heads may share records."""
    head: dict[str, Any] = {"suite": suite.name, "split": split, "limit": limit, "version": __version__}
    head |= responder.identity
    if suite.judge_prompt is not None and judge is not None:
        head |= judge.identity
    return head


def _facts(suite: PublicSuite, items: list[Item], seconds: float) -> dict[str, Any]:
    return {
        "items": len(items),
        "normalisation": suite.normalisation or "none",
        "source": suite.source,
        "licence": suite.licence,
        "version": __version__,
        "seconds": round(seconds, 1),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def to_markdown(report: Report) -> str:
    """The report for people: the table like the paper's, the parts of the set, and what was done."""
    facts = report.facts
    parts = [paper_table([report]), group_table(report)]
    told = f"Normalisation: {facts['normalisation']}. "
    told += f"Data: {facts['source']} ({facts['licence']}), {report.split}, {facts['items']} items. "
    told += f"Measured on {facts['date']} by eureka {facts['version']}, "
    told += f"{facts['model']} ({facts['backend']}, {facts['numerics']})"
    told += f", judge {facts['judge']}." if "judge" in facts else "."
    return "\n".join([*filter(None, parts), told]) + "\n"


def main(
    arguments: argparse.Namespace, open_responder: OpenResponder, checkpoint: str, progress: Progress
) -> int:
    """Run `evaluate SUITE` as parsed by `eureka.evaluation.arguments`; gives the exit status."""
    suite = suite_named(arguments.suite)
    if arguments.data_folder is None:
        message = f"name the folder of the data by --data-folder. {suite.title} comes from {suite.source} "
        message += f"({suite.licence}); it holds {suite.layout}"
        raise InvalidInputError(message, reason="NO_DATA_FOLDER")
    split = arguments.split or suite.splits[0]
    report = run_suite(
        suite,
        arguments.data_folder,
        open_responder,
        arguments.output or default_output(suite.name, split, checkpoint),
        split=split,
        limit=arguments.limit,
        judge=judge_of(arguments),
        is_fresh=arguments.fresh,
        checkpoint=checkpoint,
        progress=progress,
    )
    print(
        json.dumps(report.to_dict(), indent=2) if arguments.format == "json" else to_markdown(report), end=""
    )
    return 0


def default_output(suite: str, split: str, checkpoint: str) -> Path:
    """runs/evaluate/CHECKPOINT/SUITE-SPLIT.json."""
    name = checkpoint.rstrip("/").rsplit("/", 1)[-1].replace(":", "-") or "model"
    return RUNS / name / f"{suite}-{split.replace('/', '-')}.json"


def judge_of(arguments: argparse.Namespace) -> Judge | None:
    """The judge that the arguments name, with its key.

    Raises:
        InvalidInputError: a URL without a model.
        NotFoundError: there is no key file.
    """
    if arguments.judge is None:
        return None
    if not arguments.judge_model:
        raise InvalidInputError("--judge needs --judge-model, too")
    return Judge(JudgeConfig(arguments.judge, arguments.judge_model, _key(arguments.judge_key_file)))


def _key(path: Path | None) -> str:
    if path is None:
        return os.environ.get(KEY_VARIABLE, "")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NotFoundError(f"cannot read the judge's key from {path}: {error}") from error


def table(arguments: argparse.Namespace) -> int:
    """Run `evaluate table REPORT...`; gives the exit status."""
    if not arguments.reports:
        raise InvalidInputError("evaluate table takes one or more reports")
    print(paper_table([read_report(path) for path in arguments.reports]), end="")
    return 0
