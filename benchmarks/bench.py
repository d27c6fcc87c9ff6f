"""Speed and sameness of this checkout: `make bench`.

Takes the figures of docs/benchmarks.md, in turns with their peers in one process where there is a peer,
merges them into benchmarks/results.json as each part ends, and prints Markdown. Meant for an idle machine.

    python benchmarks/bench.py [--only C1,C3] [--quick] [--checkpoint DIR] [--output FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import transformers
from pace import decoding, hearing, load, same_ids, start, threads, word_errors
from pace.figures import Row, Skipped
from pace.results import REPOSITORY, RESULTS, add_rows, read_report, to_markdown
from pace.sides import NotThereError
from pace.suite import Suite

from eureka.runtime.settings import Settings

QUICK_RESULTS = REPOSITORY / "build" / "benchmarks" / "results-quick.json"
"""Figures of a quick run mean nothing, and stay away from those that do."""

Part = Callable[[Suite], Iterator[Row]]

PARTS: dict[str, Part] = {
    "C1": decoding.nano_single,
    "C3": decoding.nano_batches,
    "D06": decoding.large,
    "C4": hearing.encoder,
    "C5": hearing.padded,
    "C6": hearing.short,
    "C7": threads.two_threads,
    "C8_exact": same_ids.exact_ids,
    "C8": word_errors.fast_cost,
    "C9": start.starts,
    "first_token": load.first_token,
    "arrivals": load.arrivals,
    "interactive": load.interactive,
}
"""Name of a part, as `--only` takes it -> what makes its rows."""


def run_part(name: str, part: Part, suite: Suite) -> list[Row]:
    """Rows of a part; one that cannot run here, or fails, gives a skipped row instead of ending the run."""
    rows: list[Row] = []
    try:
        rows.extend(part(suite))
    except NotThereError as error:
        rows.append(Row(name, Skipped(str(error))))
    except Exception as error:
        traceback.print_exc()
        rows.append(Row(name, Skipped(f"failed: {type(error).__name__}: {error}")))
    return rows


def has_failed(row: Row) -> bool:
    return isinstance(row.figure, Skipped) and row.figure.reason.startswith("failed")


def run(suite: Suite, names: Sequence[str], output: Path) -> list[Row]:
    """All parts of these names, each merged into the file as it ends."""
    done: list[Row] = []
    for name in names:
        started = time.monotonic()
        rows = run_part(name, PARTS[name], suite)
        add_rows(output, rows)
        done += rows
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return done


def arguments_of(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="speed and sameness, in results.json and as Markdown")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts out of {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that all runs")
    parser.add_argument("--checkpoint", type=Path, help="folder; the settings' otherwise")
    parser.add_argument("--output", type=Path, help="results.json of this folder; a quick run's is in build/")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = arguments_of(argv)
    names = [name.strip() for name in arguments.only.split(",")]
    if unknown := set(names) - set(PARTS):
        print(f"unknown parts {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    settings = Settings()
    suite = Suite(arguments.checkpoint or settings.checkpoint, settings.data_folder, arguments.quick)
    output = arguments.output or (QUICK_RESULTS if suite.is_quick else RESULTS)
    rows = run(suite, names, output)
    print(to_markdown(read_report(output), [row.name for row in rows]))
    return int(any(has_failed(row) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
