"""Jobs: on 1, 2 and 4 workers against the engine in one process, beside callers who wait, and in long lists.

The recording is made on the spot: spoken sentences, sounds and silence. Rows go into results.json, those of a
quick run into build/. Meant for an idle machine; all of it takes about a quarter of an hour.

    python benchmarks/jobs.py [--only work,beside,lists] [--workers 1,2,4] [--quick] [--output FILE]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pace.figures import Row, Skipped
from pace.job_beside import rows_beside
from pace.job_work import rows_of_work
from pace.results import REPOSITORY, RESULTS, add_rows, read_report, to_markdown

from eureka.cli.demo import write_wav
from eureka.errors import EurekaError
from eureka.evaluation.demo_recording import make_demo_recording
from eureka.runtime.settings import Settings, load_settings
from eureka.runtime.stack_run import find_redis_server

QUICK_RESULTS = REPOSITORY / "build" / "benchmarks" / "results-quick.json"
SEED = 4


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured.

    Attributes:
        settings: name the checkpoint.
        folder: for files and stores.
        workers: numbers of workers.
        is_quick: little of everything, to see that all runs.
    """

    settings: Settings
    folder: Path
    workers: Sequence[int]
    is_quick: bool

    def size(self, usual: int, quick: int) -> int:
        """Seconds, rounds, questions or jobs."""
        return quick if self.is_quick else usual

    def recording(self, seconds: float) -> Path:
        """A file of about so many seconds."""
        path = self.folder / f"{seconds:.0f}.wav"
        write_wav(path, make_demo_recording(SEED, seconds=seconds).pcm)
        return path

    def store(self, name: str) -> Path:
        """A new folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))


def work(run: Run) -> Iterator[Row]:
    """A job over one file against the engine in this process."""
    audio = run.recording(run.size(1_200, 30))
    for number in run.workers:
        yield from rows_of_work(run.settings, audio, run.store("work"), number, run.size(3, 1))


def beside(run: Run) -> Iterator[Row]:
    """Questions beside a bulk job."""
    audio = run.recording(run.size(600, 60))
    yield from rows_beside(run.settings, audio, run.store("beside"), run.size(300, 10))


def lists(run: Run) -> Iterator[Row]:
    """First pages of many jobs."""
    sys.path.insert(0, str(REPOSITORY))  # the gateway's code, and the S3 server of the tests
    from pace.job_lists import rows_of_lists

    yield from rows_of_lists(run.size(10_000, 300), run.size(5, 2))


PARTS: dict[str, Callable[[Run], Iterator[Row]]] = {"work": work, "beside": beside, "lists": lists}
NEEDS_REDIS = ("work", "beside")


def rows_of_part(name: str, run: Run) -> list[Row]:
    """Rows of a part; one that cannot run here gives a skipped row."""
    if name in NEEDS_REDIS and find_redis_server(run.settings) is None:
        return [Row("J1", Skipped("redis-server is not installed"))]
    rows: list[Row] = []
    try:
        rows.extend(PARTS[name](run))
    except EurekaError as error:
        rows.append(Row(f"J1_{name}", Skipped(f"{error.reason}: {error.message}")))
    return rows


def arguments_of(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts out of {','.join(PARTS)}")
    parser.add_argument(
        "--workers", type=lambda text: [int(one) for one in text.split(",")], default=[1, 2, 4]
    )
    parser.add_argument("--quick", action="store_true", help="little of everything: to see that all runs")
    parser.add_argument("--output", type=Path, help="results.json of this folder; a quick run's is in build/")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = arguments_of(argv)
    names = arguments.only.split(",")
    if unknown := set(names) - set(PARTS):
        print(f"unknown parts {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    output = arguments.output or (QUICK_RESULTS if arguments.quick else RESULTS)
    done: list[str] = []
    with tempfile.TemporaryDirectory(prefix="eureka-bench-") as folder:
        run = Run(load_settings(), Path(folder), arguments.workers, arguments.quick)
        for name in names:
            started = time.monotonic()
            rows = rows_of_part(name, run)
            add_rows(output, rows)
            done += [row.name for row in rows]
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(to_markdown(read_report(output), done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
