"""Arguments of `eureka evaluate`; imports nothing heavy, so that the command line starts at once."""

from __future__ import annotations

import argparse
from pathlib import Path

SUITES = ("nano",)

SPLITS = ("train", "dev")

PARTS = (
    "digits",
    "wake_words",
    "sounds",
    "orders",
    "synthetic",
    "scenes",
    "read_speech",
    "joined",
    "abstain",
    "demo",
    "routing",
)
"""Parts of the suite, in the order in which they run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `evaluate`, for the command line's own parser; `eureka.evaluation.run.main` reads them."""
    parser.add_argument("suite", choices=[*SUITES, "compare"], help="suite to run, or compare two reports")
    parser.add_argument(
        "reports", nargs="*", type=Path, metavar="REPORT", help="two JSON reports (compare only)"
    )
    parser.add_argument("--split", default="dev", choices=SPLITS, help="part of the data pack (default: dev)")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="checkpoint folder")
    parser.add_argument("--data-folder", type=Path, metavar="DIR", help="data pack with manifest.jsonl")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N clips a set (default: all)")
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated (default: all)")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: 2 where there are 2 cores)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the JSON report here, Markdown beside"
    )
    parser.add_argument("--format", default="text", choices=("text", "json"), help="what stdout gets")
