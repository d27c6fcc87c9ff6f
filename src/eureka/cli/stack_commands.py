"""up, down, restart and status: the local stack, all components of one machine under one supervisor."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from eureka.cli.arguments import positive_int
from eureka.errors import EurekaError, StageUnavailableError

if TYPE_CHECKING:
    from eureka.cli.arguments import Commands
    from eureka.runtime.settings import Settings
    from eureka.runtime.stack_state import StackFolder, StackState
    from eureka.runtime.stack_status import StackStatus

_NUM_STOPPING_GROUPS = 3
"""Gateway, stages and Triton end one after another, each within the grace."""


def add_parsers(commands: Commands) -> None:
    """Add the four commands."""
    up = commands.add_parser(
        "up",
        help="start the local stack",
        description="Start Triton, the stages and the gateway; Ctrl-C ends all. Logs are in .eureka/logs/.",
    )
    up.add_argument(
        "--detach",
        action="store_true",
        help="return when a real inference has answered; `eureka down` ends the stack",
    )
    up.add_argument(
        "--decoders",
        type=positive_int,
        metavar="N",
        help="decoder services (default: EUREKA_STACK__DECODERS)",
    )
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="stop the local stack", description="Stop the local stack.")
    down.set_defaults(run=_down)

    restart = commands.add_parser(
        "restart",
        help="put new processes in the place of components, without a gap where they serve calls",
        description=(
            "Restart components one after another. Gateway, encoder, adapter and decoders are replaced"
            " without a gap: the new process listens before the old one stops, and running calls end well."
            " Workers finish what they hear first; Triton and Redis are away for a moment."
        ),
    )
    restart.add_argument("names", nargs="+", metavar="NAME", help="as `eureka status` lists them")
    restart.set_defaults(run=_restart)

    status = commands.add_parser(
        "status", help="what runs of the local stack", description="Show the components of the local stack."
    )
    status.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    status.set_defaults(run=_status)


def _up(arguments: argparse.Namespace) -> int:
    from eureka.runtime.settings import checkout_root
    from eureka.runtime.stack_plan import check_checkout

    settings = _settings()
    check_checkout(checkout_root())
    folder = _folder(settings)
    try:
        if arguments.detach and folder.is_locked():
            return _wait_for_other(settings, folder)
        running = folder.read()
        return _start(settings, folder, arguments) if running is None else _say_running(running)
    except EurekaError as error:
        print(f"eureka: {error.message} ({error.reason})", file=sys.stderr)
        return 1


def _start(settings: Settings, folder: StackFolder, arguments: argparse.Namespace) -> int:
    stack_run = _module("stack_run")
    if arguments.detach:
        _module("triton_wheel").find_triton_wheel()  # said here, before anything is started
        _say_up(stack_run.start_detached(folder, arguments.decoders))
        return 0
    from eureka.runtime.logging import configure_logging

    configure_logging(settings.log_level, settings.log_format)
    stack_run.run_stack(settings, arguments.decoders, _say_up)
    return 0


def _wait_for_other(settings: Settings, folder: StackFolder) -> int:
    """Wait for a stack that somebody else has started, as for one of our own.

    Raises:
        StageUnavailableError: reason STACK_NOT_STARTED; it ended, or took too long.
    """
    stack = settings.stack
    limit_seconds = stack.start_timeout_seconds + _NUM_STOPPING_GROUPS * (stack.grace_seconds + 1)
    state = folder.await_ready(limit_seconds)
    if state is None:
        how = f"is not ready after {limit_seconds:g} s" if folder.is_locked() else "ended before it was ready"
        message = f"the stack that was starting already {how}; its logs are in {folder.logs}"
        raise StageUnavailableError(message, reason="STACK_NOT_STARTED")
    return _say_running(state)


def _say_running(state: StackState) -> int:
    print(f"eureka: the stack is running already; gateway {state.gateway}", file=sys.stderr)
    return 0


def _say_up(gateway: str) -> None:
    print(f"eureka: the stack is up; gateway {gateway}", file=sys.stderr, flush=True)


def _down(arguments: argparse.Namespace) -> int:
    settings = _settings()
    folder, grace_seconds = _folder(settings), settings.stack.grace_seconds
    state = folder.read()
    num_ended = stop_stack(folder, grace_seconds)
    if state is not None:
        print("eureka: the stack is down", file=sys.stderr)
    elif num_ended:
        print(f"eureka: ended {num_ended} processes that a killed stack had left", file=sys.stderr)
    else:
        print("eureka: no stack is running", file=sys.stderr)
    return 0


def stop_stack(folder: StackFolder, grace_seconds: float) -> int:
    """Stop the stack of `folder`, if one runs; how many processes a killed one had left."""
    state = folder.read()
    if state is not None:
        _stop(folder, state.supervisor_pid, _NUM_STOPPING_GROUPS * (grace_seconds + 1))
    return _end_left_over(folder, grace_seconds)


def _end_left_over(folder: StackFolder, grace_seconds: float) -> int:
    """End what a supervisor that was killed has left; the lock keeps a new stack from starting meanwhile."""
    if folder.read_any() is None:
        return 0
    with folder.locked():
        num_ended: int = _module("stack_left_over").end_left_over(folder, grace_seconds)
    return num_ended


def _stop(folder: StackFolder, supervisor_pid: int, limit_seconds: float) -> None:
    """Ask the supervisor to stop all; killed when it does not, which ends its children too."""
    with suppress(ProcessLookupError):
        os.kill(supervisor_pid, signal.SIGTERM)
    if not _module("stack_left_over").has_ended(supervisor_pid, limit_seconds):
        with suppress(ProcessLookupError):
            os.kill(supervisor_pid, signal.SIGKILL)


def _restart(arguments: argparse.Namespace) -> int:
    settings = _settings()
    folder, stack = _folder(settings), settings.stack
    ask_renew = _module("stack_control").ask_renew
    for name in arguments.names:
        began = time.monotonic()
        # It stops and starts, in the order that fits it, after whatever else is being done to it.
        pid = ask_renew(folder.path, name, 2 * (stack.start_timeout_seconds + stack.grace_seconds))
        seconds = time.monotonic() - began
        print(f"eureka: {name} is new (process {pid}) after {seconds:.1f} s", file=sys.stderr)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    settings = _settings()
    is_running = _folder(settings).read() is not None
    status = _module("stack_status").stack_status(settings) if is_running else None
    print(_as_json(status) if arguments.format == "json" else _as_text(status))
    return 0


def _as_json(status: StackStatus | None) -> str:
    components = () if status is None else status.components
    plain = {
        "ready": status is not None and status.is_ready,
        "components": [
            {"name": one.name, "pid": one.pid, "address": one.address, "state": one.state}
            for one in components
        ],
    }
    return json.dumps(plain, indent=1)


def _as_text(status: StackStatus | None) -> str:
    if status is None or not status.components:
        return "no stack is running"
    rows = [
        f"{one.name:<20} {one.pid or '-':>8}  {one.address or '-':<21}  {one.state}"
        for one in status.components
    ]
    return "\n".join([*rows, "ready" if status.is_ready else "not ready"])


def _settings() -> Settings:
    from eureka.runtime.settings import load_settings

    return load_settings()


def _folder(settings: Settings) -> StackFolder:
    from eureka.runtime.stack_state import StackFolder

    return StackFolder(settings.stack.folder)


def _module(name: str) -> Any:
    """A module of the runtime that needs the packages of a server.

    Raises:
        StageUnavailableError: reason NOT_INSTALLED; they are not there.
    """
    try:
        return importlib.import_module(f"eureka.runtime.{name}")
    except ModuleNotFoundError as error:
        message = f"the local stack needs the package {error.name}; pip install 'eureka[serve,triton]'"
        raise StageUnavailableError(message, reason="NOT_INSTALLED") from error
