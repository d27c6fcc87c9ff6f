"""Hears files in this process: decode, listen, draw progress, tell of damage."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from eureka.cli.listening import HearPath, hear_file, options_of
from eureka.cli.local import LocalModel, open_local
from eureka.cli.progress import Progress
from eureka.pipeline.export import Outcome
from eureka.runtime.settings import Settings
from eureka.types import Pcm

if TYPE_CHECKING:
    from eureka.audio.decode_pool import DecodePool

_log = logging.getLogger(__name__)


@contextmanager
def open_local_hearing(
    settings: Settings, arguments: argparse.Namespace, num_files: int
) -> Iterator[HearPath]:
    """A checkpoint in this process, as a function from path to outcome.

    Raises:
        EurekaError: the checkpoint cannot be used.
    """
    with open_local(settings, arguments.checkpoint) as local:
        options = options_of(arguments, local.config.time_step_seconds is not None)
        hear = arguments.make_hear(local.listener, options, arguments)
        progress = Progress(num_files)

        def hear_path(path: str) -> Outcome:
            damage: list[str] = []
            with _logged(local), closing(_read(local.pool, path, damage)) as blocks:
                outcome = hear_file(path, lambda: hear(path, progress.follow(path, blocks)))
            progress.clear()
            for line in damage:
                print(f"eureka: {path}: {line}", file=sys.stderr)
            return outcome

        yield hear_path


def _read(pool: DecodePool, path: str, damage: list[str]) -> Generator[Pcm, None, None]:
    """Pcm blocks of a file; what of it could not be read is added to `damage` at its end."""
    with pool.open(path) as reader:
        yield from reader
        damage += filter(None, [reader.info.damage])


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
