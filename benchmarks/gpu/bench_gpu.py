"""The goals H1 to H9 on a GPU: `make bench-gpu`.

Random weights in the shape of the 1.7B release, written once below build/; ours and its peers in turns in one
process, limits measured in the same run. Rows go into benchmarks/results.json, a profile of one step into
docs/.

    python -m gpu.bench_gpu [--only H1,H4] [--quick] [--output FILE]
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
from pace.figures import Row, Skipped
from pace.results import REPOSITORY, RESULTS, add_rows, read_report, to_markdown

from gpu import decoding, hearing
from gpu.bed import Bed
from gpu.step_profile import write_profile

BUILD = REPOSITORY / "build" / "benchmarks"
PROFILE = REPOSITORY / "docs" / "gpu-step.md"
NO_GPU = "bench-gpu: there is no GPU here that torch can use; nothing was measured (--quick tries the code)"

PARTS: dict[str, Callable[[Bed], Iterator[Row]]] = {
    "H1": decoding.single_stream,
    "H4": decoding.many_streams,
    "H_paper": decoding.paper_protocol,
    "H5": hearing.encoder,
    "H6": hearing.first_token,
    "H7": hearing.saturated,
    "H9": hearing.arrivals,
}
"""Name of a part, as `--only` takes it -> what makes its rows; H1 brings H2 and H3, H7 brings H8."""


def run_part(name: str, bed: Bed) -> list[Row]:
    """Rows of a part; where it fails those that it made, and a skipped one."""
    rows: list[Row] = []
    try:
        rows.extend(PARTS[name](bed))
    except Exception as error:
        traceback.print_exc()
        rows.append(Row(name, Skipped(f"failed: {type(error).__name__}: {error}")))
    return rows


def released_folder() -> Path:
    """Random weights in the shape of the release; written at first (6 GB of disk)."""
    from tests.helpers.synthetic_checkpoint import write_released_shape

    folder = BUILD / "released"
    done = folder / ".complete"
    if not done.exists():
        write_released_shape(folder)
        done.touch()
    return folder


def quick_folder() -> Path:
    """A tiny model of the same architecture."""
    from eureka.model.eureka_audio import save_checkpoint
    from tests.helpers.tiny_model import tiny_model

    folder = BUILD / "gpu-quick"
    save_checkpoint(tiny_model(), folder)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="goals on a GPU, in results.json and as Markdown")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts out of {','.join(PARTS)}")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny model, to see that all runs; on a CPU, too"
    )
    parser.add_argument("--output", type=Path, help="results.json of benchmarks/; a quick run's is in build/")
    arguments = parser.parse_args(argv)
    names = [name.strip() for name in arguments.only.split(",")]
    if unknown := set(names) - set(PARTS):
        print(f"unknown parts {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    if not torch.cuda.is_available() and not arguments.quick:
        print(NO_GPU, file=sys.stderr)
        return 1
    return measure(names, arguments.quick, arguments.output)


def measure(names: Sequence[str], is_quick: bool, output: Path | None) -> int:
    """Run the parts, each merged into the file as it ends; 1 where one failed."""
    transformers.logging.set_verbosity_error()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bed = Bed(quick_folder() if is_quick else released_folder(), device, is_quick)
    output = output or (BUILD / "results-gpu-quick.json" if is_quick else RESULTS)
    done: list[Row] = []
    for name in names:
        started = time.monotonic()
        rows = run_part(name, bed)
        add_rows(output, rows)
        done += rows
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    if "H1" in names:
        write_profile(bed, output.with_name("gpu-step-quick.md") if is_quick else PROFILE)
    print(to_markdown(read_report(output), [row.name for row in done]))
    failed = (row.figure for row in done if isinstance(row.figure, Skipped))
    return int(any(figure.reason.startswith("failed") for figure in failed))


if __name__ == "__main__":
    sys.exit(main())
