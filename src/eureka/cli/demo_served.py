"""The served part of make demo: the sample goes through gateway, three services and Triton, by both ways.

A gateway embeds audio by one of two paths, so a second gateway stands beside that of the stack for the other
one. A stack that runs already is used and left running; otherwise one is started, and stopped at the end.
What comes after on the same stack, a job, is given by the caller.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eureka.clients.gateway import GatewayClient
from eureka.errors import EurekaError, StageUnavailableError, WrongStateError
from eureka.runtime.settings import Settings, checkout_root

if TYPE_CHECKING:
    from eureka.runtime.stack_state import StackFolder

PATHS = ("fused", "two_stage")
"""Embeddings by one call of the encoder service, or by encoder and then adapter service."""

_SERVICES = ("encoder", "adapter", "decoder")
_DIFFERENT = "TEXTS_DIFFER"
_GATEWAY_SECONDS = 60.0
_METRICS_SECONDS = 5.0
_POLL_SECONDS = 0.1

_without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Served:
    """What one call through the stack gave.

    Attributes:
        path: of the embeddings.
        text: the transcript.
        seconds: of the call.
        requests: calls that each service answered for it.
    """

    path: str
    text: str
    seconds: float
    requests: Counter[str]

    @property
    def line(self) -> str:
        """The call for people."""
        counts = ", ".join(f"{name} {self.requests[name]}" for name in _SERVICES)
        text = f"\u201c{self.text}\u201d" if self.text else "(no words)"
        return f"{self.path:<10}{text}   ({self.seconds:.2f} s; requests served: {counts})"


def show_served(
    settings: Settings,
    checkpoint: Path,
    audio: Path,
    local_text: str,
    then: Callable[[str, StackFolder], None],
) -> None:
    """Hear `audio` through a stack and print what came; what cannot run is named with its reason.

    Args:
        settings: of the process.
        checkpoint: folder.
        audio: file.
        local_text: transcript of the same file in this process.
        then: a job on the same stack; takes the gateway's address and the stack's folder.

    Raises:
        WrongStateError: reason TEXTS_DIFFER; the two paths disagree.
        EurekaError: with CI=true, where nothing may be left out.
    """
    with (
        _named_if_left_out("the served stack, and the job on it"),
        _stack(settings, checkpoint) as (gateway, folder),
    ):
        with _named_if_left_out("the calls through the stack"):
            served = list(_hear(settings, gateway, folder, audio))
            print(_compared({call.text for call in served}, local_text), flush=True)
        with _named_if_left_out("the job"):
            then(gateway, folder)


@contextmanager
def _named_if_left_out(part: str) -> Iterator[None]:
    """Goes on after a part that cannot run, and says why; texts that differ are an error at any time."""
    try:
        yield
    except EurekaError as error:
        if os.environ.get("CI") == "true" or error.reason == _DIFFERENT:
            raise
        print(f"Left out: {part} ({error.reason}: {error.message})", flush=True)


def _compared(texts: set[str], local_text: str) -> str:
    if len(texts) > 1:
        raise WrongStateError("the two embedding paths gave different texts", reason=_DIFFERENT)
    note = "and the same" if texts == {local_text} else "not the same"
    return f"texts     the same by both paths, {note} as in one process"


def _hear(settings: Settings, gateway: str, folder: StackFolder, audio: Path) -> Iterator[Served]:
    """One call by each path, told as it comes."""
    own = settings.gateway.embedding_path
    other = next(path for path in PATHS if path != own)
    with _second_gateway(settings, folder, other) as second:
        for path, address in sorted({own: gateway, other: second}.items()):
            served = _transcribe(settings, folder, audio, path, address)
            print(served.line, flush=True)
            yield served


def _transcribe(settings: Settings, folder: StackFolder, audio: Path, path: str, address: str) -> Served:
    from eureka.runtime.tls import own_servers_tls

    before, started = requests_served(folder), time.perf_counter()
    key = settings.api_key.get_secret_value() or None
    with GatewayClient(address, key=key, tls=own_servers_tls(settings.tls)) as client:
        text = client.transcribe(audio).text
    seconds = time.perf_counter() - started
    return Served(path, text, seconds, requests_served(folder) - before)


@contextmanager
def _stack(settings: Settings, checkpoint: Path) -> Iterator[tuple[str, StackFolder]]:
    """The gateway's address and the folder of a stack that is up inside the block.

    Raises:
        EurekaError: none can run here, or it did not start.
    """
    from eureka.runtime.stack_plan import check_checkout
    from eureka.runtime.stack_state import StackFolder
    from eureka.runtime.triton_wheel import find_triton_wheel

    check_checkout(checkout_root())
    find_triton_wheel()
    folder = StackFolder(settings.stack.folder)
    running = folder.read()
    if running is not None:
        print(f"served    by the stack that runs already, gateway {running.gateway}", flush=True)
        yield running.gateway, folder
        return
    with _started(settings, checkpoint, folder) as gateway:
        yield gateway, folder


@contextmanager
def _started(settings: Settings, checkpoint: Path, folder: StackFolder) -> Iterator[str]:
    from eureka.cli.stack_commands import stop_stack
    from eureka.runtime.stack_run import start_detached

    started = time.perf_counter()
    # Any port will do: the demo must not fail because something else listens at the usual one.
    free = {} if "EUREKA_GATEWAY__PORT" in os.environ else {"EUREKA_GATEWAY__PORT": "0"}
    gateway = start_detached(folder, None, {"EUREKA_CHECKPOINT": str(checkpoint.resolve()), **free})
    try:
        print(f"served    by gateway {gateway}, up in {time.perf_counter() - started:.1f} s", flush=True)
        yield gateway
    finally:
        started = time.perf_counter()
        stop_stack(folder, settings.stack.grace_seconds)
        print(f"stopped   the stack in {time.perf_counter() - started:.1f} s", flush=True)


@contextmanager
def _second_gateway(settings: Settings, folder: StackFolder, path: str) -> Iterator[str]:
    """The address of a gateway that embeds by `path`, over the stages of the stack.

    Raises:
        StageUnavailableError: reason COMPONENT_ENDED; it did not come up.
    """
    from eureka.runtime.stack_plan import PortChooser
    from eureka.runtime.stack_probe import is_serving
    from eureka.runtime.stack_process import service_command
    from eureka.runtime.tls import own_servers_tls

    port = PortChooser().near("127.0.0.1", 0)
    with folder.log_file(f"gateway-{path}").open("wb") as log:
        process = subprocess.Popen(
            service_command("services.gateway"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=checkout_root(),
            env={**os.environ, **_gateway_environment(folder, port, path)},
        )
    try:
        address, deadline = f"127.0.0.1:{port}", time.monotonic() + _GATEWAY_SECONDS
        while not asyncio.run(is_serving(address, own_servers_tls(settings.tls))):
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"the second gateway did not come up; see {log.name}"
                raise StageUnavailableError(message, reason="COMPONENT_ENDED")
            time.sleep(_POLL_SECONDS)
        yield address
    finally:
        process.terminate()
        process.wait()


def _gateway_environment(folder: StackFolder, port: int, path: str) -> dict[str, str]:
    """Settings of a gateway over the stages of a running stack."""
    state = folder.read()
    if state is None:
        raise StageUnavailableError("the stack has gone", reason="STACK_GONE")
    targets = {
        f"EUREKA_GATEWAY__{name.upper()}_TARGET": str(state.component(name).address) for name in _SERVICES
    }
    return {
        **targets,
        "EUREKA_GATEWAY__HOST": "127.0.0.1",
        "EUREKA_GATEWAY__PORT": str(port),
        "EUREKA_GATEWAY__METRICS_PORT": "0",
        "EUREKA_GATEWAY__EMBEDDING_PATH": path,
    }


def requests_served(folder: StackFolder) -> Counter[str]:
    """Calls that each stage has ended, from the metrics ports of the stack."""
    from prometheus_client.parser import text_string_to_metric_families

    counts: Counter[str] = Counter()
    state = folder.read()
    for component in state.components if state is not None else ():
        if component.name.partition("-")[0] not in _SERVICES:
            continue
        with _without_proxy.open(f"http://{component.metrics}/metrics", timeout=_METRICS_SECONDS) as page:
            families = text_string_to_metric_families(page.read().decode())
        for sample in (sample for family in families for sample in family.samples):
            if sample.name == "eureka_requests_total":
                counts[sample.labels["component"]] += int(sample.value)
    return counts
