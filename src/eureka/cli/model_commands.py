"""model inspect and model check: looking into a checkpoint folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eureka.cli.arguments import Commands


def add_parsers(commands: Commands) -> None:
    """Add `model` with its two commands."""
    model = commands.add_parser("model", help="look into a checkpoint", description="Look into a checkpoint.")
    actions = model.add_subparsers(title="commands", metavar="COMMAND", required=True)

    inspect = actions.add_parser(
        "inspect",
        help="what it holds and whether it would load",
        description="Say what a checkpoint holds, from its config and file headers; weights are not read.",
    )
    inspect.add_argument("folder", type=Path, metavar="DIR")
    inspect.add_argument("--format", choices=("text", "json"), default="text")
    inspect.set_defaults(run=_inspect)

    check = actions.add_parser(
        "check",
        help="settle what shapes leave open",
        description="Try the adapter fields that tensor shapes do not give, and write the combination under "
        "which a known transcript is likeliest to DIR/adapter_override.json.",
    )
    check.add_argument("folder", type=Path, metavar="DIR")
    check.add_argument(
        "--pair", nargs=2, required=True, metavar=("AUDIO", "TEXT"), help="a recording and what is said in it"
    )
    check.add_argument("--format", choices=("text", "json"), default="text")
    check.set_defaults(run=_check)


def _inspect(arguments: argparse.Namespace) -> int:
    from eureka.model.inspect import inspect_checkpoint

    report = inspect_checkpoint(arguments.folder)
    print(json.dumps(report.to_dict(), indent=2) if arguments.format == "json" else report.to_text())
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from eureka.cli.known_pair import read_known_pair
    from eureka.model.check import check_checkpoint

    pair = read_known_pair(arguments.folder, *arguments.pair)
    result = check_checkpoint(arguments.folder, pair)
    if arguments.format == "json":
        print(json.dumps(result.to_dict(), indent=2))
        return 0
    for trial in result.trials:
        print(f"loss {trial.loss:8.4f}  {trial.override.fields} {trial.override.roles or ''}".rstrip())
    print(f"written to {result.path}" if result.path else "nothing was open; no file is written")
    return 0
