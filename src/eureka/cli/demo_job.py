"""The last part of make demo: a longer file as a job, on the queue and the worker of the running stack.

It is made by the client library, watched to its end, and its result downloaded. The job itself is deleted
then, so that demos leave neither audio nor results in the store.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eureka.cli.jobs_view import watch_line
from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import Job
from eureka.errors import StageUnavailableError
from eureka.evaluation.metrics import word_errors
from eureka.jobs.exports import CAPTION_TRACK
from eureka.runtime.settings import Settings
from eureka.types import SAMPLE_RATE_HZ, Ending

if TYPE_CHECKING:
    from eureka.runtime.stack_state import StackFolder

JOB_SECONDS = 120.0
"""For the whole job; one over the demo's own file takes about five seconds."""

MAX_LINES = 12
"""Segments that are printed; all of them are in the files."""

_INDENT = " " * 10


@dataclass(frozen=True, slots=True)
class LongFile:
    """What the job hears.

    Attributes:
        path: of the file.
        note: what it is, for people.
        text: what is said in it; None where that is not known.
    """

    path: Path
    note: str
    text: str | None = None


def show_job(
    settings: Settings, gateway: str, folder: StackFolder, make: Callable[[], LongFile], output: Path
) -> None:
    """Hear a file as a job for both tracks, print how it goes and what came, write job.json and job.srt.

    Args:
        settings: of the process.
        gateway: host:port.
        folder: of the stack that the gateway belongs to.
        make: gives the file; called when it is known that jobs can run.
        output: folder to write to.

    Raises:
        StageUnavailableError: reason NO_QUEUE; the stack has none.
        EurekaError: of the gateway.
    """
    _check_queue(folder)
    file, started = make(), time.perf_counter()
    with _client(settings, gateway) as client, _job(client, file) as job:
        _watch(client, job.name)
        seconds = time.perf_counter() - started
        paths = [output / "job.json", output / "job.srt"]
        for path in paths:
            client.download_result(job.name, path, path.suffix[1:])
    plain = json.loads(paths[0].read_text(encoding="utf-8"))
    print("\n".join(result_lines(plain, file.text, seconds)))
    print(f"result    {paths[0]}, {paths[1]}", flush=True)


def _check_queue(folder: StackFolder) -> None:
    state = folder.read()
    names = {one.name for one in state.components} if state is not None else set()
    if "redis" not in names:
        message = "the stack runs no queue and no worker, because redis-server is not installed or "
        message += "EUREKA_STACK__WORKERS is 0"
        raise StageUnavailableError(message, reason="NO_QUEUE")


def _client(settings: Settings, gateway: str) -> GatewayClient:
    from eureka.runtime.tls import own_servers_tls

    key = settings.api_key.get_secret_value() or None
    return GatewayClient(gateway, key=key, tls=own_servers_tls(settings.tls), timeout_seconds=JOB_SECONDS)


@contextmanager
def _job(client: GatewayClient, file: LongFile) -> Iterator[Job]:
    """A job over the file, which is gone after the block."""
    job = client.create_job(file.path)
    print(f"job       {job.name} hears {file.path}   ({file.note})", flush=True)
    try:
        yield job
    finally:
        client.delete_job(job.name)


def _watch(client: GatewayClient, name: str) -> None:
    """Print each change until the job has ended."""
    last = ""
    with client.watch_job(name, timeout_seconds=JOB_SECONDS) as updates:
        for update in updates:
            line = watch_line(update.job, datetime.now(UTC))
            if line != last:
                print(f"{_INDENT}{line}", flush=True)
            last = line


def result_lines(plain: dict[str, Any], said: str | None, seconds: float) -> list[str]:
    """What is printed of a result.

    Args:
        plain: the object of result.json.
        said: what is said in the file; None where that is not known.
        seconds: from the request to the end.
    """
    audio = plain["audio_seconds"]
    return [
        *_segment_lines(plain["segments"]),
        *_error_lines(plain, said),
        ledger_line(plain),
        f"state     {plain['state']}{_reasons(plain)}   ({audio:.1f} s of audio in {seconds:.1f} s)",
    ]


def _segment_lines(segments: list[dict[str, Any]]) -> list[str]:
    """The first segments with their times; captions in [brackets]."""
    lines = [f"{one['start']:5.1f} - {one['end']:5.1f} s  {_text(one)}" for one in segments[:MAX_LINES]]
    if len(segments) > MAX_LINES:
        lines.append(f"and {len(segments) - MAX_LINES} more")
    names = ["segments", *[""] * len(lines)]
    return [f"{name:<10}{line}" for name, line in zip(names, lines or ["none"], strict=False)]


def _text(segment: dict[str, Any]) -> str:
    text: str = segment["text"]
    return f"[{text}]" if segment["track"] == CAPTION_TRACK else f"\u201c{text}\u201d"


def _error_lines(plain: dict[str, Any], said: str | None) -> list[str]:
    if said is None:
        return []
    errors = word_errors([said], [plain["texts"]["transcript"]])
    return [f"words     {len(said.split())} said, word error rate {errors.value:.2f}"]


def ledger_line(plain: dict[str, Any]) -> str:
    """Seconds heard and silent, and whether the ledger's spans tile the file to the sample."""
    silent = heard = place = 0
    is_tiled = True
    for row in plain["coverage"]:
        start, end = (round(row[side] * SAMPLE_RATE_HZ) for side in ("start", "end"))
        is_tiled, place = is_tiled and start == place, end
        if row["ending"] == Ending.SILENCE:
            silent += end - start
        else:
            heard += end - start
    total = round(plain["audio_seconds"] * SAMPLE_RATE_HZ)
    verdict = "to the sample" if is_tiled and place == total else "NOT to the sample"
    return (
        f"ledger    heard {heard / SAMPLE_RATE_HZ:.3f} s, silent {silent / SAMPLE_RATE_HZ:.3f} s: "
        f"{heard + silent} of {total} samples accounted for, {verdict}"
    )


def _reasons(plain: dict[str, Any]) -> str:
    reasons = list(plain.get("reasons", ()))
    if "error" in plain:
        reasons.append(f"{plain['error']['message']} ({plain['error']['reason']})")
    return f", {'; '.join(reasons)}" if reasons else ""
