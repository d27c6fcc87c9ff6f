"""Decoded tokens a second by the paper's protocol: 200 recordings, at most 2,000 new tokens each.

Recordings are heard one at a time. The clock runs from the first token of an answer to its last, so neither
decoding of audio nor prefill counts. Batch size, engine and machine of the paper's figure are not published:
a figure from here is for this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from eureka import __version__
from eureka.engine.choice import BackendChoice
from eureka.errors import InvalidInputError, NotFoundError
from eureka.evaluation.counts import ClassTally, Counts, one
from eureka.evaluation.hearing import Ear
from eureka.evaluation.report import PaperFigure, Report, Row
from eureka.evaluation.sets import pick_spread
from eureka.evaluation.suites.items import ItemAudio
from eureka.evaluation.suites.runner import Progress
from eureka.evaluation.suites.table import paper_table
from eureka.model.config import EurekaConfig
from eureka.training.manifest import MANIFEST_NAME, read_manifest
from eureka.types import Instruction, Pcm, SamplingParams, Task, TextRequest

NUM_SAMPLES = 200
MAX_NEW_TOKENS = 2_000

PAPER = PaperFigure(269.7, None, 223.3, "Qwen2.5-Omni-3B")
"""Two Xeon Platinum 8468V and eight H100."""

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one answer was decoded: the tokens behind its first, and the seconds that they took."""

    num_tokens: int
    seconds: float


def recordings(folder: Path, split: str, count: int) -> list[Path]:
    """Files to hear: those of a data pack's split, else all audio below the folder; spread by their names.

    Raises:
        NotFoundError: there are none.
    """
    if (folder / MANIFEST_NAME).is_file():
        paths = [folder / clip.path for clip in read_manifest(folder, split)]
    else:
        paths = sorted(path for path in folder.glob("**/*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not paths:
        raise NotFoundError(f"{folder} holds no audio", reason="DATASET_NOT_FOUND")
    return pick_spread(paths, lambda path: str(path.relative_to(folder)), count)


def pace_of(ear: Ear, pcm: Pcm) -> Pace:
    """Transcribe one recording in one prompt, and take the time between its tokens."""
    request = TextRequest(
        Instruction(Task.TRANSCRIBE), ear.embedder.embed([pcm]), SamplingParams(max_new_tokens=MAX_NEW_TOKENS)
    )
    times: list[float] = []
    for delta in ear.decoder.generate(request):
        times += [time.perf_counter()] * len(delta.token_ids)
    return Pace(max(0, len(times) - 1), times[-1] - times[0] if times else 0.0)


def rows_of(paces: Sequence[Pace]) -> list[Row]:
    """Mean over the answers of more than one token, and all tokens over all time."""
    long = [pace for pace in paces if pace.num_tokens and pace.seconds]
    mean: list[Counts] = [one(pace.num_tokens / pace.seconds) for pace in long]
    whole: list[Counts] = [one(pace.num_tokens, pace.seconds) for pace in long]
    tokens = float(np.mean([pace.num_tokens + 1 for pace in long])) if long else 0.0
    note = f"{len(paces)} recordings, {tokens:.1f} tokens an answer"
    return [
        _row("tokens_per_second", "mean over recordings", mean, note, PAPER),
        _row("tokens_per_second_all", "all tokens over all time", whole, note),
    ]


def _row(name: str, title: str, counts: list[Counts], note: str, paper: PaperFigure | None = None) -> Row:
    tally = ClassTally.of(counts)
    return Row(
        name=name,
        title=f"decoded tokens a second, {title}",
        value=tally.value,
        num_clips=tally.num_items,
        interval=tally.interval(),
        note=note,
        unit="tokens/s",
        paper=paper,
    )


def measure(
    checkpoint: Path,
    folder: Path,
    choice: BackendChoice,
    *,
    split: str = "dev",
    count: int = NUM_SAMPLES,
    progress: Progress = lambda _: None,
) -> Report:
    """Measure a checkpoint in this process.

    Raises:
        InvalidInputError: a count below 1.
        NotFoundError: no recordings.
    """
    if count < 1:
        raise InvalidInputError(f"limit is {count}; it must be at least 1")
    paths, paces = recordings(folder, split, count), []
    with Ear.from_folder(checkpoint, choice, num_slots=1) as ear:
        for number, path in enumerate(paths, start=1):
            paces.append(pace_of(ear, ItemAudio(path).read()))
            progress(f"decode-throughput: {number}/{len(paths)}")
    facts = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "backend": f"{choice.resolve(EurekaConfig.from_folder(checkpoint))} on {choice.device}",
        "numerics": choice.numerics,
        "num_threads": choice.num_threads,
        "max_new_tokens": MAX_NEW_TOKENS,
        "version": __version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    return Report("decode-throughput", split, str(checkpoint), tuple(rows_of(paces)), facts)


def main(
    arguments: argparse.Namespace, checkpoint: Path, folder: Path, choice: BackendChoice, progress: Progress
) -> int:
    """Run `evaluate decode-throughput`; gives the exit status.

    Raises:
        InvalidInputError: reason NOT_AT_A_GATEWAY: the wire's time is not the engine's.
    """
    if arguments.gateway is not None:
        message = "decode-throughput times the engine of this process; leave --gateway out"
        raise InvalidInputError(message, reason="NOT_AT_A_GATEWAY")
    count = NUM_SAMPLES if arguments.limit is None else arguments.limit
    split = arguments.split or "dev"
    report = measure(checkpoint, folder, choice, split=split, count=count, progress=progress)
    text = paper_table([report])
    if arguments.output is not None:
        report.write_json(arguments.output)
        arguments.output.with_suffix(".md").write_text(text, encoding="utf-8")
    print(json.dumps(report.to_dict(), indent=2) if arguments.format == "json" else text, end="")
    return 0
