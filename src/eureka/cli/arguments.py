"""Arguments that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
import codecs
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eureka.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    """Where a command module adds its parsers."""

FORMATS = ("text", "json", "jsonl", "srt", "vtt")
"""Values of --format; as `ExportFormat`, which the parser does not import."""


class CommandParser(argparse.ArgumentParser):
    """A parser of one command that takes options before, between and after its files."""

    _is_intermixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse options first, then what is left as files."""
        has_commands = any(isinstance(action, argparse._SubParsersAction) for action in self._actions)
        if self._is_intermixing or has_commands:
            return super().parse_known_args(args, namespace)
        self._is_intermixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_intermixing = False


def add_listening_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that listens to files."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="work in this process, without servers")
    where.add_argument(
        "--gateway",
        metavar="HOST:PORT",
        help="work at this gateway (default: EUREKA_TARGET, else the running local stack, else this process)",
    )
    add_checkpoint_option(parser)
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="form of the results (default: text)"
    )
    parser.add_argument(
        "--files-from", type=Path, metavar="LIST", help="file with one path a line, after FILE..."
    )
    parser.add_argument(
        "--max-new-tokens", type=positive_int, metavar="N", help="tokens generated for a window at most"
    )


def add_checkpoint_option(parser: argparse.ArgumentParser) -> None:
    """--checkpoint, for every command that loads a model."""
    parser.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="checkpoint folder (default: EUREKA_CHECKPOINT)"
    )


def positive_int(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def probability(text: str) -> float:
    """A number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} does not lie between 0 and 1")
    return number


def label_list(text: str) -> tuple[str, ...]:
    """Labels between commas, blanks around them taken off."""
    labels = tuple(label.strip() for label in text.split(","))
    if not all(labels):
        raise argparse.ArgumentTypeError("an empty label stands between the commas")
    if len(set(labels)) != len(labels):
        raise argparse.ArgumentTypeError("a label stands there twice")
    return labels


def read_list(path: Path | None) -> list[str]:
    """The paths of --files-from, blank lines left out; any bytes but a line feed may stand in a path.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it cannot be read.
    """
    if path is None:
        return []
    try:
        lines = os.fsdecode(path.read_bytes().removeprefix(codecs.BOM_UTF8)).split("\n")
    except FileNotFoundError as error:
        raise NotFoundError(f"--files-from: there is no file {path}", reason="FILE_NOT_FOUND") from error
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"--files-from: cannot read {path}: {error}") from error
    return [line.strip() for line in lines if line.strip()]
