"""What an answer of `ask` has to be: --choices, --regex, --json-schema."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from eureka.cli.arguments import label_list
from eureka.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from eureka.types import Constraint


def add_constraint_options(parser: argparse.ArgumentParser) -> None:
    """The three options, of which one may be given."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--choices", type=label_list, metavar="A,B,C", help="the answer is one of these")
    group.add_argument("--regex", metavar="RE", help="the answer matches this expression from end to end")
    group.add_argument(
        "--json-schema", type=Path, metavar="FILE", help="the answer is JSON that this JSON schema holds for"
    )


def constraint_of(arguments: argparse.Namespace) -> Constraint | None:
    """The constraint asked for; None without one, and for commands that take none.

    Raises:
        NotFoundError: there is no such schema file.
        InvalidInputError: it cannot be read.
    """
    choices, regex, path = (getattr(arguments, name, None) for name in ("choices", "regex", "json_schema"))
    if choices is None and regex is None and path is None:
        return None
    from eureka.types import Constraint  # the parser goes without numpy

    return Constraint(choices, regex, None if path is None else _schema(path))


def _schema(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"--json-schema: there is no file {path}", reason="FILE_NOT_FOUND") from error
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"--json-schema: cannot read {path}: {error}") from error
