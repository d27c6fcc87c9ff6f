"""The commands about jobs, at a gateway; imports neither torch nor a decoder of audio."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from eureka.cli.gateway_hearing import CALL_SECONDS
from eureka.cli.jobs_view import WatchView, job_line, job_text
from eureka.cli.target import choose_target
from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import Job, JobFilter, JobLane, JobOptions, JobState, StoredPrefix
from eureka.errors import EurekaError, InvalidInputError, StageUnavailableError, WrongStateError
from eureka.runtime.logging import configure_logging
from eureka.runtime.settings import Settings, load_settings
from eureka.runtime.tls import channel_tls
from eureka.types import Task

Action = Callable[[GatewayClient, argparse.Namespace], int]


def run_jobs(arguments: argparse.Namespace) -> int:
    """Run one of the commands; its exit status.

    Raises:
        WrongStateError: reason NO_GATEWAY; none is named, and no local stack runs.
        EurekaError: of the gateway.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    target = _target(arguments, settings)
    key = settings.api_key.get_secret_value() or None
    with GatewayClient(
        target, key=key, tls=channel_tls(settings.tls), timeout_seconds=CALL_SECONDS
    ) as client:
        try:
            return _ACTIONS[arguments.action](client, arguments)
        except StageUnavailableError as error:
            message = f"the gateway {target} does not answer: {error.message}"
            raise StageUnavailableError(message, reason=error.reason) from error


def _target(arguments: argparse.Namespace, settings: Settings) -> str:
    target = choose_target(arguments, settings)
    if target.gateway is None:
        message = (
            "jobs run at a gateway: start the local stack by `eureka up`, or name one by --gateway or "
            "EUREKA_TARGET"
        )
        raise WrongStateError(message, reason="NO_GATEWAY")
    if target.told:
        print(f"eureka: {target.told}", file=sys.stderr)
    return target.gateway


def _create(client: GatewayClient, arguments: argparse.Namespace) -> int:
    if bool(arguments.files) is (arguments.prefix is not None):
        message = "name FILE... for a job a file, or --prefix for a batch of stored objects"
        raise InvalidInputError(message, reason="NO_FILES")
    options = _options(arguments)
    if arguments.prefix is not None:
        return _show([client.create_job(StoredPrefix(arguments.prefix), options)], arguments)
    made = [_created(client, path, options) for path in arguments.files]
    _show(made, arguments)
    return 0 if all(isinstance(one, Job) for one in made) else 1


def _created(client: GatewayClient, path: str, options: JobOptions) -> Job | dict[str, Any]:
    """The job of one file, or why there is none: a file that fails leaves the others alone."""
    try:
        return client.create_job(path, options)
    except EurekaError as error:
        if error.reason == "JOBS_UNAVAILABLE":  # the same for each
            raise
        plain = {"code": error.code, "reason": error.reason, "message": error.message}
        return {"path": path, "error": plain}


def _options(arguments: argparse.Namespace) -> JobOptions:
    seconds = arguments.deadline
    return JobOptions(
        tasks=tuple(Task(task) for task in arguments.tasks),
        language=arguments.language,
        lane=JobLane(arguments.lane),
        labels=dict(arguments.label),
        deadline_time=None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds),
        webhook=arguments.webhook,
        has_summary=arguments.summary,
    )


def _list(client: GatewayClient, arguments: argparse.Namespace) -> int:
    states = [JobState(state) for state in arguments.state]
    found = client.all_jobs(JobFilter(states, dict(arguments.label)), parent=arguments.parent or "")
    jobs = list(islice(found, arguments.limit))
    if arguments.format == "json":
        _print_json({"jobs": [job.to_dict() for job in jobs]})
    for job in jobs if arguments.format == "text" else ():
        print(job_line(job))
    return 0


def _get(client: GatewayClient, arguments: argparse.Namespace) -> int:
    return _show([client.get_job(arguments.name)], arguments)


def _watch(client: GatewayClient, arguments: argparse.Namespace) -> int:
    last: Job | None = None
    with client.watch_job(arguments.name) as updates, WatchView() as view:
        for update in updates:
            last = update.job
            view.show(last)
    assert last is not None, "a watch that ends has told of the end"
    _show([last], arguments)
    return 0 if last.state is JobState.SUCCEEDED else 1


def _cancel(client: GatewayClient, arguments: argparse.Namespace) -> int:
    return _show([client.cancel_job(arguments.name)], arguments)


def _retry(client: GatewayClient, arguments: argparse.Namespace) -> int:
    return _show([client.retry_job(arguments.name)], arguments)


def _delete(client: GatewayClient, arguments: argparse.Namespace) -> int:
    client.delete_job(arguments.name)
    if arguments.format == "json":
        _print_json({"name": arguments.name, "deleted": True})
    else:
        print(f"{arguments.name} is deleted")
    return 0


def _download(client: GatewayClient, arguments: argparse.Namespace) -> int:
    if arguments.output:
        info = client.download_result(arguments.name, arguments.output, arguments.format)
    else:
        info, content = client.get_result(arguments.name, arguments.format)
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    if info.state is not JobState.SUCCEEDED:
        print(f"eureka: {arguments.name} is {info.state}: the result may lack something", file=sys.stderr)
    return 0


def _show(made: list[Job] | list[Job | dict[str, Any]], arguments: argparse.Namespace) -> int:
    """Write jobs as `get` does: one as itself, several as results."""
    if arguments.format == "json":
        plain = [one.to_dict() if isinstance(one, Job) else one for one in made]
        _print_json(plain[0] if len(plain) == 1 else {"results": plain})
        return 0
    for one in made:
        if isinstance(one, Job):
            print(job_text(one))
        else:
            print(f"{one['path']}: {one['error']['message']} ({one['error']['reason']})", file=sys.stderr)
    return 0


def _print_json(plain: dict[str, Any]) -> None:
    print(json.dumps(plain, ensure_ascii=False, indent=2))


_ACTIONS: dict[str, Action] = {
    "create": _create,
    "list": _list,
    "get": _get,
    "watch": _watch,
    "cancel": _cancel,
    "retry": _retry,
    "delete": _delete,
    "download": _download,
}
