"""jobs create, list, get, watch, cancel, retry, delete and download: their arguments."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from eureka.cli.arguments import positive_int

if TYPE_CHECKING:
    from eureka.cli.arguments import Commands

LANES = ("interactive", "default", "bulk")
"""Values of --lane; as `JobLane`, which the parser does not import."""

STATES = ("PENDING", "RUNNING", "SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED")
"""Values of --state; as `JobState`."""

TASKS = ("transcribe", "caption")
"""Values of --tasks."""

RESULT_FORMS = ("json", "srt", "vtt", "txt", "csv", "labelstudio", "audacity")
"""Values of --format of a download; as `ResultForm`."""


def add_parsers(commands: Commands) -> None:
    """Add `jobs` with its commands."""
    jobs = commands.add_parser(
        "jobs",
        help="work on long audio at a gateway",
        description="Hear recordings of any length at a gateway, as jobs that outlive this command.",
    )
    actions = jobs.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_create(actions)
    _add_list(actions)
    for name, text in (
        ("get", "how a job stands"),
        ("watch", "follow a job to its end; exit status 0 only if it SUCCEEDED"),
        ("cancel", "end a job; what was heard is kept"),
        ("retry", "hear again what failed"),
        ("delete", "remove a job with all its objects"),
    ):
        _finish(_named(actions, name, text), name)
    _add_download(actions)


def _add_create(actions: Commands) -> None:
    create = actions.add_parser(
        "create",
        help="one job a file, or a batch of stored objects",
        description="Upload files and make a job of each; or make a batch of what lies in the store.",
    )
    create.add_argument("files", nargs="*", metavar="FILE", help="audio files of any kind and length")
    create.add_argument("--prefix", metavar="P", help="a batch of all objects of yours below P")
    create.add_argument(
        "--tasks", type=_tasks, default=TASKS, metavar="LIST", help="transcribe,caption (default: both)"
    )
    create.add_argument("--language", default="", metavar="CODE", help="language of the audio, as a hint")
    create.add_argument("--lane", choices=LANES, default="default", help="queue (default: default)")
    create.add_argument(
        "--label", type=_label, action="append", default=[], metavar="K=V", help="may be given several times"
    )
    create.add_argument(
        "--deadline", type=_seconds, metavar="S", help="seconds from now; what has not ended then is left out"
    )
    create.add_argument("--webhook", default="", metavar="URL", help="told of the end")
    create.add_argument("--summary", action="store_true", help="add a summary to the result")
    _finish(create, "create")


def _add_list(actions: Commands) -> None:
    listing = actions.add_parser("list", help="jobs, newest first", description="List jobs, newest first.")
    listing.add_argument(
        "--state", choices=STATES, action="append", default=[], help="may be given several times"
    )
    listing.add_argument("--label", type=_label, action="append", default=[], metavar="K=V")
    listing.add_argument("--parent", type=job_name, metavar="NAME", help="children of this batch")
    listing.add_argument("--limit", type=positive_int, default=50, metavar="N", help="at most (default: 50)")
    _finish(listing, "list")


def _add_download(actions: Commands) -> None:
    download = _named(actions, "download", "the result of a job")
    download.add_argument(
        "--format", choices=RESULT_FORMS, default="json", help="form of the result (default: json)"
    )
    download.add_argument("--output", metavar="FILE", help="default: standard output")
    _add_target(download)
    download.set_defaults(run=_run, action="download")


def _named(actions: Commands, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=f"{text.capitalize()}.")
    parser.add_argument("name", type=job_name, metavar="NAME", help="jobs/ID, or the ID")
    return parser


def _finish(parser: argparse.ArgumentParser, action: str) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text")
    _add_target(parser)
    parser.set_defaults(run=_run, action=action)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gateway", metavar="HOST:PORT", help="default: EUREKA_TARGET, else the running local stack"
    )
    parser.set_defaults(local=False, checkpoint=None)


def _run(arguments: argparse.Namespace) -> int:
    from eureka.cli.jobs_run import run_jobs

    return run_jobs(arguments)


def job_name(text: str) -> str:
    """`jobs/ID` of that or of the bare id."""
    return text if "/" in text else f"jobs/{text}"


def _tasks(text: str) -> tuple[str, ...]:
    tasks = tuple(task.strip() for task in text.split(","))
    if not set(tasks) <= set(TASKS) or len(set(tasks)) < len(tasks):
        raise argparse.ArgumentTypeError(f"tasks are {','.join(TASKS)}, each once")
    return tasks


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is no label such as project=birds")
    return name, value


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return seconds
