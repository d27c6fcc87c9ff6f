"""Arguments of `eureka evaluate`; imports nothing heavy, so that the command line starts at once."""

from __future__ import annotations

import argparse
from pathlib import Path

PUBLIC_SUITES = (
    "librispeech",
    "fleurs-en",
    "fleurs-zh",
    "aishell2",
    "wenetspeech",
    "mmsu",
    "openbookqa",
    "advbench",
    "ifeval",
    "mmau",
    "mmar",
    "mmau-caption",
    "mmar-caption",
    "ravdess",
    "crema-d",
    "esc50",
    "desed",
    "questions",
)
"""Published benchmarks, whose data the user has; docs/evaluation.md says from where."""

THROUGHPUT = "decode-throughput"

SUITES = ("nano", *PUBLIC_SUITES, THROUGHPUT)

WORDS = ("compare", "table")
"""What stands in the place of a suite and works on reports."""

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
    parser.add_argument(
        "suite",
        choices=[*SUITES, *WORDS],
        metavar="SUITE",
        help=f"one of {', '.join(SUITES)}; or compare A B, or table REPORT...",
    )
    parser.add_argument(
        "reports", nargs="*", type=Path, metavar="REPORT", help="JSON reports (compare and table only)"
    )
    parser.add_argument("--split", help="part of the data (default: dev for nano, else the suite's test set)")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="checkpoint folder")
    parser.add_argument("--data-folder", type=Path, metavar="DIR", help="folder of the data")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N clips a set (default: all)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the JSON report here, Markdown and items beside"
    )
    parser.add_argument("--format", default="text", choices=("text", "json"), help="what stdout gets")
    parser.add_argument(
        "--show", type=int, default=0, metavar="N", help="compare: the first N answers that changed, too"
    )
    _add_nano(parser.add_argument_group("nano"))
    _add_public(parser.add_argument_group("published suites"))


def _add_nano(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--parts", default=",".join(PARTS), help="comma-separated (default: all)")
    group.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: 2 where there are 2 cores)"
    )


def _add_public(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--gateway", metavar="HOST:PORT", help="ask this gateway instead of a checkpoint")
    group.add_argument("--max-new-tokens", type=int, metavar="N", help="of an answer (default: 512)")
    group.add_argument("--fresh", action="store_true", help="begin anew instead of going on with a run")
    group.add_argument("--judge", metavar="URL", help="OpenAI-compatible endpoint that judges, up to /v1")
    group.add_argument("--judge-model", metavar="NAME", help="its model")
    group.add_argument(
        "--judge-key-file", type=Path, metavar="FILE", help="its key (default: OPENAI_API_KEY, else none)"
    )
