"""What `eureka status` tells: stack.json, held against what lives and answers now."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from eureka.clients.channels import ChannelTls
from eureka.engine.messages import AUDIO_FRONTEND, MODELS
from eureka.runtime.settings import Settings
from eureka.runtime.stack_health import health_of
from eureka.runtime.stack_plan import REDIS, TRITON, Component, queue_at
from eureka.runtime.stack_state import ComponentState, StackFolder, State
from eureka.runtime.tls import own_servers_tls
from eureka.runtime.triton import model_processes

SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class StackStatus:
    """A stack as it is now.

    Attributes:
        is_ready: it has come up and every component welcomes calls.
        components: supervisor, Triton, its models, services.
    """

    is_ready: bool
    components: tuple[ComponentState, ...]


def stack_status(settings: Settings) -> StackStatus:
    """The stack of the settings; no component when none runs."""
    state = StackFolder(settings.stack.folder).read()
    if state is None:
        return StackStatus(False, ())
    components = asyncio.run(_asked(state.components, own_servers_tls(settings.tls)))
    supervisor = ComponentState(
        SUPERVISOR, state.supervisor_pid, None, "ready" if state.is_ready else "starting"
    )
    found = [supervisor]
    for component in components:
        found.append(component)
        if component.name == TRITON:
            found += _models(component)
    return StackStatus(all(one.state == "ready" for one in found), tuple(found))


async def _asked(components: tuple[ComponentState, ...], tls: ChannelTls | None) -> list[ComponentState]:
    addresses = [one.address for one in components if one.name == REDIS and one.address]
    queue = queue_at(addresses[0] if addresses else "")
    return list(await asyncio.gather(*(_ask(component, tls, queue) for component in components)))


async def _ask(component: ComponentState, tls: ChannelTls | None, queue: Mapping[str, str]) -> ComponentState:
    """The component with the state that it shows itself; the supervisor may not have noticed yet."""
    if component.state != "ready":
        return component
    if component.pid is None or not _lives(component.pid):
        return replace(component, pid=None, state="restarting")
    asked = Component(component.name, (), component.address or "", component.metrics or "", queue)
    if component.name == TRITON or await health_of(asked, tls)():
        return component
    return replace(component, state="not_ready")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _models(triton: ComponentState) -> Iterator[ComponentState]:
    """One line a model; a missing process is being replaced by the service of its stage."""
    processes = {} if triton.pid is None else {one.model: one.pid for one in model_processes(triton.pid)}
    for model in MODELS:
        name = f"model:{model.name}"
        if model.name == AUDIO_FRONTEND.name:
            yield ComponentState(name, None, triton.address, triton.state)
            continue
        pid = processes.get(model.name)
        state: State = triton.state if pid is not None else "restarting"
        yield ComponentState(name, pid, triton.address, state)
