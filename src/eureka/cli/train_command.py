"""train: runs recipes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eureka.cli.arguments import Commands


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    train = commands.add_parser(
        "train",
        help="run training recipes",
        description="Run recipes in order; a finished one is passed over, a broken one goes on where it was.",
    )
    train.add_argument("recipes", nargs="+", type=Path, metavar="RECIPE.toml")
    train.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from eureka.runtime.logging import configure_logging
    from eureka.runtime.settings import load_settings
    from eureka.training.run import main

    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    main(arguments.recipes, settings.data_folder)
    return 0
