"""evaluate: measures a checkpoint on a suite, compares two reports, or lays several into one table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from eureka.errors import InvalidInputError, WrongStateError
from eureka.evaluation.arguments import PUBLIC_SUITES, THROUGHPUT, add_arguments

if TYPE_CHECKING:
    from eureka.cli.arguments import Commands
    from eureka.evaluation.suites.responders import Responder
    from eureka.runtime.settings import Settings

CALL_SECONDS = 600.0
"""Time of one call to a gateway, retries included."""


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    evaluate = commands.add_parser(
        "evaluate",
        help="measure a checkpoint on recordings",
        description="Measure a checkpoint on a suite, compare two reports, or lay several into one table.",
    )
    add_arguments(evaluate)
    evaluate.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from eureka.runtime.logging import configure_logging
    from eureka.runtime.settings import load_settings

    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    if arguments.suite == "table":
        from eureka.evaluation.suites.command import table

        return table(arguments)
    if arguments.suite in (*PUBLIC_SUITES, THROUGHPUT):
        return _run_public(arguments, settings)
    from eureka.evaluation.run import main
    from eureka.runtime.backend import backend_choice

    return main(arguments, settings.checkpoint, settings.data_folder, backend_choice(settings))


def _run_public(arguments: argparse.Namespace, settings: Settings) -> int:
    """A published suite, or the throughput of decoding: in this process, or at a gateway."""
    from eureka.evaluation.run import ProgressLine
    from eureka.runtime.backend import backend_choice

    try:
        from eureka.evaluation.suites import command, throughput
    except ModuleNotFoundError as error:
        message = f"published suites want eureka[evaluate], which is not installed: {error}"
        raise WrongStateError(message, reason="NOT_INSTALLED") from error
    if arguments.reports:
        raise InvalidInputError(f"{arguments.suite} takes no reports; did you mean evaluate compare A B?")
    folder = arguments.checkpoint or settings.checkpoint
    line = ProgressLine(sys.stderr)
    try:
        if arguments.suite == THROUGHPUT:
            data_folder = arguments.data_folder or settings.data_folder
            return throughput.main(arguments, folder, data_folder, backend_choice(settings), line)
        checkpoint = str(folder) if arguments.gateway is None else f"gateway {arguments.gateway}"
        return command.main(arguments, _opener(arguments, settings, folder), checkpoint, line)
    finally:
        line.end()


def _opener(arguments: argparse.Namespace, settings: Settings, folder: Path) -> Callable[[], Responder]:
    """Opens what answers.

    Raises:
        InvalidInputError: reason CHECKPOINT_WITH_GATEWAY.
    """
    from eureka.clients.gateway import GatewayClient
    from eureka.evaluation.suites.responders import MAX_NEW_TOKENS, EngineResponder, GatewayResponder
    from eureka.runtime.backend import backend_choice
    from eureka.runtime.tls import channel_tls

    max_new_tokens = arguments.max_new_tokens or MAX_NEW_TOKENS
    if arguments.gateway is None:
        return lambda: EngineResponder(folder, backend_choice(settings), max_new_tokens)
    if arguments.checkpoint is not None:
        message = f"--checkpoint is for this process; the gateway {arguments.gateway} has its own"
        raise InvalidInputError(message, reason="CHECKPOINT_WITH_GATEWAY")
    key, tls = settings.api_key.get_secret_value() or None, channel_tls(settings.tls)

    def open_gateway() -> Responder:
        client = GatewayClient(arguments.gateway, key=key, tls=tls, timeout_seconds=CALL_SECONDS)
        return GatewayResponder(client, max_new_tokens)

    return open_gateway
