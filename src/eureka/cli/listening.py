"""Listens to files one after another; a file that fails leaves the others alone."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from eureka.cli.constraint import constraint_of
from eureka.cli.target import Target, choose_target
from eureka.cli.writer import OutcomeWriter
from eureka.errors import EurekaError, WrongStateError
from eureka.pipeline.export import ExportFormat, FileFailure, Outcome
from eureka.pipeline.options import ListenOptions
from eureka.pipeline.results import raise_unless_answered
from eureka.runtime.logging import configure_logging
from eureka.runtime.settings import Settings, load_settings
from eureka.types import HearingResult, SamplingParams, Task

_log = logging.getLogger(__name__)

_SUBTITLES = (ExportFormat.SRT, ExportFormat.VTT)

HearPath = Callable[[str], Outcome]
"""From a path to its result or its failure; never raises for what the file is or does."""


def listen_to_files(files: Sequence[str], arguments: argparse.Namespace) -> int:
    """Hear every file, in order, and write its result; 1 if any failed.

    Raises:
        EurekaError: the settings, the checkpoint or the gateway cannot be used.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    target = choose_target(arguments, settings)
    if target.told:
        print(f"eureka: {target.told}", file=sys.stderr)
    form = ExportFormat(arguments.format)
    num_failed = 0
    opened = _open(target, settings, arguments, len(files))
    with opened as hear, OutcomeWriter(form, len(files)) as writer:
        for path in files:
            outcome = hear(path)
            num_failed += isinstance(outcome, FileFailure)
            writer.write(outcome)
    return 1 if num_failed else 0


def options_of(arguments: argparse.Namespace, has_time_marks: bool) -> ListenOptions:
    """Options of every file, for a checkpoint that writes time marks or not."""
    sampling = SamplingParams(constraint=constraint_of(arguments))
    if arguments.max_new_tokens is not None:
        sampling = replace(sampling, max_new_tokens=arguments.max_new_tokens)
    options = ListenOptions(sampling=sampling)
    if ExportFormat(arguments.format) not in _SUBTITLES:
        return options
    return options.for_subtitles(Task(arguments.command), has_time_marks)


def hear_file(path: str, hear: Callable[[], HearingResult]) -> Outcome:
    """The result of one file, or its failure; never raises for what the file is or does."""
    try:
        result = hear()
        raise_unless_answered(result)
        return result
    except EurekaError as error:
        return FileFailure.of(path, error)
    except Exception:
        _log.exception("file_failed")
        return FileFailure.of(path, EurekaError("an error inside the program; its log says more"))


def _open(
    target: Target, settings: Settings, arguments: argparse.Namespace, num_files: int
) -> AbstractContextManager[HearPath]:
    """Imports what this target needs: at a gateway neither torch nor a decoder of audio.

    Raises:
        WrongStateError: reason NOT_INSTALLED; the base install has no model.
    """
    if target.gateway is not None:
        from eureka.cli.gateway_hearing import open_gateway_hearing

        return open_gateway_hearing(target.gateway, settings, arguments)
    try:
        from eureka.cli.local_hearing import open_local_hearing
    except ModuleNotFoundError as error:
        message = (
            f"{error.name} is not installed: install eureka[local] to work in this process, "
            "or name a gateway by --gateway HOST:PORT or EUREKA_TARGET"
        )
        raise WrongStateError(message, reason="NOT_INSTALLED") from error
    return open_local_hearing(settings, arguments, num_files)
