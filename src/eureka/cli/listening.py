"""Listens to files one after another; a file that fails leaves the others alone."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from eureka.cli.local import LocalModel, open_local
from eureka.cli.progress import Progress
from eureka.cli.writer import OutcomeWriter
from eureka.errors import EurekaError
from eureka.pipeline.export import ExportFormat, FileFailure, Outcome
from eureka.pipeline.options import ListenOptions
from eureka.pipeline.results import raise_unless_answered
from eureka.runtime.logging import configure_logging
from eureka.runtime.settings import load_settings
from eureka.types import Pcm, SamplingParams, Task

if TYPE_CHECKING:
    from eureka.audio.decode_pool import DecodePool
    from eureka.cli.listen_commands import HearFile

_log = logging.getLogger(__name__)

_SUBTITLES = (ExportFormat.SRT, ExportFormat.VTT)


def listen_to_files(files: Sequence[str], arguments: argparse.Namespace) -> int:
    """Hear every file, in order, and write its result; 1 if any failed.

    Raises:
        EurekaError: the settings or the checkpoint cannot be used.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    if not arguments.local:
        print("eureka: no server is running; working in this process", file=sys.stderr)
    form = ExportFormat(arguments.format)
    num_failed = 0
    with open_local(settings, arguments.checkpoint) as local, OutcomeWriter(form, len(files)) as writer:
        hear = arguments.make_hear(local.listener, _options(arguments, form, local), arguments)
        progress = Progress(len(files))
        for path in files:
            damage: list[str] = []
            with _logged(local), closing(_read(local.pool, path, damage)) as blocks:
                outcome = hear_file(path, hear, progress.follow(path, blocks))
            progress.clear()
            for line in damage:
                print(f"eureka: {path}: {line}", file=sys.stderr)
            num_failed += isinstance(outcome, FileFailure)
            writer.write(outcome)
    return 1 if num_failed else 0


def _read(pool: DecodePool, path: str, damage: list[str]) -> Generator[Pcm, None, None]:
    """Pcm blocks of a file; what of it could not be read is added to `damage` at its end."""
    with pool.open(path) as reader:
        yield from reader
        damage += filter(None, [reader.info.damage])


def _options(arguments: argparse.Namespace, form: ExportFormat, local: LocalModel) -> ListenOptions:
    sampling = SamplingParams()
    if arguments.max_new_tokens is not None:
        sampling = SamplingParams(max_new_tokens=arguments.max_new_tokens)
    options = ListenOptions(sampling=sampling)
    if form not in _SUBTITLES:
        return options
    task = Task(arguments.command)
    return options.for_subtitles(task, local.config.time_step_seconds is not None)


@contextmanager
def _logged(local: LocalModel) -> Iterator[None]:
    """Log what the encoder itself counted, so that a ledger can be held against it."""
    started, encoded = time.monotonic(), local.embedder.encoded_seconds
    yield
    _log.info(
        "file_heard",
        extra={
            "encoded_seconds": local.embedder.encoded_seconds - encoded,
            "duration_seconds": time.monotonic() - started,
        },
    )


def hear_file(path: str, hear: HearFile, blocks: Iterable[Pcm]) -> Outcome:
    """The result of one file, or its failure; never raises for what the file is or does."""
    try:
        result = hear(path, blocks)
        raise_unless_answered(result)
        return result
    except EurekaError as error:
        return FileFailure.of(path, error)
    except Exception:
        _log.exception("file_failed")
        return FileFailure.of(path, EurekaError("an error inside the program; its log says more"))
