"""evaluate: measures a checkpoint on a suite, or compares two reports."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from eureka.evaluation.arguments import add_arguments

if TYPE_CHECKING:
    from eureka.cli.arguments import Commands


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    evaluate = commands.add_parser(
        "evaluate",
        help="measure a checkpoint on recordings",
        description="Measure a checkpoint on recordings that no training saw, or compare two reports.",
    )
    add_arguments(evaluate)
    evaluate.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from eureka.evaluation.run import main
    from eureka.runtime.backend import backend_choice
    from eureka.runtime.logging import configure_logging
    from eureka.runtime.settings import load_settings

    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    return main(arguments, settings.checkpoint, settings.data_folder, backend_choice(settings))
