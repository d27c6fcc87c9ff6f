"""Builds the local stack from the settings and runs it, in this process or in one of its own.

`python -m eureka.runtime.stack_run REPORT_FD NUM_DECODERS` is the supervisor of a detached stack. It writes
one JSON object to REPORT_FD when the stack is up or could not come up, and closes it; 0 decoders stands for
the setting.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from eureka.errors import EurekaError, StageUnavailableError
from eureka.runtime.logging import configure_logging
from eureka.runtime.settings import Settings, checkout_root, load_settings
from eureka.runtime.stack import Stack, StackTimes
from eureka.runtime.stack_control import control_socket
from eureka.runtime.stack_health import health_of
from eureka.runtime.stack_left_over import end_left_over
from eureka.runtime.stack_plan import GATEWAY, REDIS, TRITON, WORKER, Component, StackPlan, plan_stack
from eureka.runtime.stack_probe import prove_inference
from eureka.runtime.stack_process import Part, ServicePart, TritonPart
from eureka.runtime.stack_state import StackFolder
from eureka.runtime.threads import quiet_threads
from eureka.runtime.tls import own_servers_tls
from eureka.runtime.triton import TritonConfig, TritonLauncher

logger = logging.getLogger(__name__)

SUPERVISOR = "supervisor"

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_TRITON_GRACE_SECONDS = 10.0
"""Triton is stopped after gateway and stages, so no call is left to wait for; unloading takes 3 s."""

OnReady = Callable[[str], None]
"""Told the gateway's address when the stack is up."""


def run_stack(settings: Settings, num_decoders: int | None, on_ready: OnReady) -> None:
    """Be the supervisor until a signal; all is stopped on return.

    Raises:
        EurekaError: the stack runs already, cannot run here, or did not start.
    """
    quiet_threads()  # components inherit it
    folder = StackFolder(settings.stack.folder)
    with _disk_errors_told(folder), folder.locked():
        end_left_over(folder, settings.stack.grace_seconds)
        plan = plan_stack(settings, checkout_root(), num_decoders, find_redis_server(settings))
        stack = build_stack(settings, plan, folder)
        asyncio.run(_supervise(stack, folder, on_ready, plan.gateway.address))


def build_stack(settings: Settings, plan: StackPlan, folder: StackFolder) -> Stack:
    """All parts of the plan under one supervisor.

    Raises:
        StageUnavailableError: reason TRITON_UNAVAILABLE.
    """
    tls = own_servers_tls(settings.tls)
    parts: dict[str, Part] = {}
    (folder.path / "redis").mkdir(parents=True, exist_ok=True)
    for component in plan.components:
        folder.start_log(component.name)
        if component.name == TRITON:
            parts[component.name] = _triton_part(settings, plan, component, folder)
            continue
        health = health_of(component, tls)
        log_file = folder.log_file(component.name)
        parts[component.name] = ServicePart(_with_log_level(component), plan.root, log_file, health)
    return Stack(
        [[part for name, part in parts.items() if _level(name) == level] for level in range(3)],
        plan.gateway.address,
        folder,
        functools.partial(prove_inference, plan.gateway.address, tls, settings.api_key.get_secret_value()),
        StackTimes(settings.stack.start_timeout_seconds, settings.stack.grace_seconds),
    )


def find_redis_server(settings: Settings) -> str | None:
    """The program of the queue; None, and a line in the log, where it is missing."""
    found = shutil.which("redis-server")
    if found is None and settings.stack.workers > 0:
        extra = {"reason": "redis-server is not installed", "way_out": "apt-get install redis-server"}
        logger.warning("jobs_left_out", extra=extra)
    return found


def _level(name: str) -> int:
    """The order of stopping, read from the end: who asks goes before who is asked."""
    if name in (TRITON, REDIS):
        return 0
    return 2 if name == GATEWAY or name.partition("-")[0] == WORKER else 1


def start_detached(
    folder: StackFolder, num_decoders: int | None, environment: Mapping[str, str] | None = None
) -> str:
    """Start a supervisor of its own session, with none of our streams, and wait until it is up.

    Args:
        folder: of the stack; the same as in its settings.
        num_decoders: decoder services; None takes the setting.
        environment: settings beside our own.

    Returns:
        The gateway's address.

    Raises:
        EurekaError: as the supervisor reported it.
    """
    with _disk_errors_told(folder):
        folder.logs.mkdir(parents=True, exist_ok=True)
        folder.start_log(SUPERVISOR)
    reader, writer = os.pipe()
    with folder.log_file(SUPERVISOR).open("ab") as log, open(reader, encoding="utf-8") as report:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "eureka.runtime.stack_run", str(writer), str(num_decoders or 0)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                pass_fds=(writer,),
                start_new_session=True,
            )
        finally:
            os.close(writer)
        return _reported(report.read, process, folder)


def main(arguments: list[str]) -> int:
    """The supervisor of a detached stack; the exit status."""
    report_fd, num_decoders = int(arguments[0]), int(arguments[1])
    os.set_inheritable(report_fd, False)  # components must not hold the caller's end of it
    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        run_stack(settings, num_decoders or None, lambda gateway: _report(report_fd, gateway=gateway))
    except EurekaError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        _report(report_fd, reason=error.reason, message=error.message)
        return 1
    return 0


def _triton_part(
    settings: Settings, plan: StackPlan, component: Component, folder: StackFolder
) -> TritonPart:
    http, grpc, metrics = plan.triton_ports
    config = TritonConfig(
        repository=plan.root / "model_repo",
        log_file=folder.log_file(TRITON),
        http_port=http,
        grpc_port=grpc,
        metrics_port=metrics,
        environment={
            "EUREKA_CHECKPOINT": str(settings.checkpoint),
            "EUREKA_BACKEND": settings.backend,
            "EUREKA_NUMERICS": settings.numerics,
            "EUREKA_DTYPE": settings.dtype,
            "EUREKA_NUM_THREADS": str(settings.num_threads),
            "EUREKA_CACHE_FOLDER": str(settings.cache_folder),
            "EUREKA_BATCH_INVARIANT": str(settings.batch_invariant).lower(),
            "EUREKA_TRITON__DEVICE": settings.triton.device,
            "EUREKA_TRITON__NUM_SLOTS": str(settings.triton.num_slots),
            "EUREKA_TRITON__MAX_WAITING": str(settings.triton.max_waiting),
        },
        start_timeout_seconds=settings.triton.start_timeout_seconds,
        stop_timeout_seconds=min(settings.stack.grace_seconds, _TRITON_GRACE_SECONDS),
    )
    return TritonPart(component, TritonLauncher(config), functools.partial(folder.start_log, TRITON))


def _with_log_level(component: Component) -> Component:
    """Logs of the stack go to files, where they disturb nobody: INFO unless the user says otherwise."""
    environment = {"EUREKA_LOG_LEVEL": os.environ.get("EUREKA_LOG_LEVEL", "INFO"), **component.environment}
    return replace(component, environment=environment)


async def _supervise(stack: Stack, folder: StackFolder, on_ready: OnReady, gateway: str) -> None:
    loop = asyncio.get_running_loop()
    for name in _SIGNALS:
        loop.add_signal_handler(name, stack.request_stop)
    async with control_socket(folder.path, stack.renew):
        await stack.run(lambda: on_ready(gateway))


@contextmanager
def _disk_errors_told(folder: StackFolder) -> Iterator[None]:
    """Errors of files as one of ours, so that who waits for the stack reads what it was."""
    try:
        yield
    except OSError as error:
        message = f"the stack did not start, with its files in {folder.path}: {error}"
        raise StageUnavailableError(message, reason="STACK_NOT_STARTED") from error


def _report(descriptor: int, **fields: str) -> None:
    """One object to who waits for us, and the end of it; a caller that has gone does not matter."""
    try:
        with open(descriptor, "w", encoding="utf-8") as report:
            json.dump(fields, report)
    except OSError:
        pass


def _reported(read: Callable[[], str], process: subprocess.Popen[bytes], folder: StackFolder) -> str:
    """The gateway's address from the report of a supervisor."""
    try:
        text = read()
    except BaseException:  # Ctrl-C while we wait
        process.terminate()
        process.wait()
        raise
    report: dict[str, str] = json.loads(text) if text else {}
    if "gateway" in report:
        process.returncode = 0  # it goes on without us; nobody will wait for it
        return report["gateway"]
    process.wait()
    if report:
        raise StageUnavailableError(report["message"], reason=report["reason"])
    tail = "\n".join(folder.log_tail(SUPERVISOR))
    raise StageUnavailableError(f"the supervisor ended without a word:\n{tail}", reason="STACK_NOT_STARTED")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
