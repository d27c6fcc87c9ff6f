"""The `eureka` command: reads the arguments and hands over to one module a command.

Nothing heavy is imported here, so that `--help` and mistakes in the arguments answer at once.
Exit status: 0 all well, 1 some file failed, 2 nothing could be started, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from eureka import __version__
from eureka.cli import (
    cluster_commands,
    dataflux_commands,
    evaluate_command,
    jobs_commands,
    listen_commands,
    model_commands,
    stack_commands,
    train_command,
)
from eureka.cli.arguments import CommandParser
from eureka.errors import EurekaError
from eureka.runtime.threads import quiet_threads

EXIT_CANNOT_START = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    quiet_threads()
    arguments = build_parser().parse_args(argv)
    _write_utf8()
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except EurekaError as error:
        print(f"eureka: {error.message} ({error.reason})", file=sys.stderr)
        return EXIT_CANNOT_START
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone; nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run`, a function from arguments to exit status."""
    parser = argparse.ArgumentParser(
        prog="eureka",
        description="Hear audio: transcribe it, describe it, ask about it; train and judge the model.",
        epilog="Settings come from the environment (EUREKA_...). Results go to stdout, the rest to stderr.",
    )
    parser.add_argument("--version", action="version", version=f"eureka {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    modules = (
        listen_commands,
        jobs_commands,
        stack_commands,
        model_commands,
        train_command,
        evaluate_command,
        dataflux_commands,
        cluster_commands,
    )
    for module in modules:
        module.add_parsers(commands)
    return parser


def _write_utf8() -> None:
    """Results are UTF-8 wherever we run; a path that is none is written with the escapes of JSON."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
