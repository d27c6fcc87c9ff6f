"""dataflux: makes listening questions from raw audio, shows how far it is, reports and exports them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from eureka.cli.arguments import add_checkpoint_option, positive_int

if TYPE_CHECKING:
    from eureka.cli.arguments import Commands


def add_parsers(commands: Commands) -> None:
    """Add the command and its own commands."""
    dataflux = commands.add_parser(
        "dataflux",
        help="make verified listening questions from audio",
        description="Raw audio in, verified multiple-choice listening questions out.",
    )
    own = dataflux.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(own)
    _add_status(own)
    report = own.add_parser("report", help="one HTML page: yield, categories, a sample to listen to")
    _add_recipe(report)
    report.add_argument(
        "--output", type=Path, metavar="FILE", help="default: report.html in the run's folder"
    )
    report.add_argument("--sample", type=positive_int, default=40, metavar="N", help="questions shown")
    report.set_defaults(run=_report)
    export = own.add_parser("export", help="JSON lines, WebDataset shards and a card")
    _add_recipe(export)
    export.add_argument("--output", type=Path, metavar="DIR", help="default: export in the run's folder")
    export.set_defaults(run=_export)


def _add_run(own: Commands) -> None:
    run = own.add_parser(
        "run",
        help="run a recipe, or go on where it stopped",
        description="Run a recipe; what is written already is not done again.",
    )
    run.add_argument("recipe", type=Path, metavar="RECIPE.toml")
    where = run.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="answer in this process, without servers")
    where.add_argument("--gateway", metavar="HOST:PORT", help="answer at this gateway")
    add_checkpoint_option(run)
    run.add_argument("--processes", type=positive_int, metavar="N", help="default: as the recipe says")
    run.set_defaults(run=_run)


def _add_status(own: Commands) -> None:
    status = own.add_parser("status", help="what is kept, discarded and left to do")
    _add_recipe(status)
    status.add_argument("--format", choices=("text", "json"), default="text")
    status.set_defaults(run=_status)


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe", nargs="?", type=Path, metavar="RECIPE.toml", help="default: that of the last run"
    )


def _run(arguments: argparse.Namespace) -> int:
    from eureka.cli.dataflux_run import run

    return run(arguments)


def _status(arguments: argparse.Namespace) -> int:
    from eureka.cli.dataflux_views import show_status

    return show_status(arguments)


def _report(arguments: argparse.Namespace) -> int:
    from eureka.cli.dataflux_views import write_report

    return write_report(arguments)


def _export(arguments: argparse.Namespace) -> int:
    from eureka.cli.dataflux_views import write_export

    return write_export(arguments)
