"""How the supervisor and `eureka status` ask each component of a stack whether it welcomes work."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Awaitable, Callable

from eureka.clients.channels import ChannelTls
from eureka.clients.task_queue import QueueConfig, WorkerPing
from eureka.runtime.stack_plan import REDIS, WORKER, Component
from eureka.runtime.stack_probe import HEALTH_SECONDS, is_serving


def health_of(component: Component, tls: ChannelTls | None) -> Callable[[], Awaitable[bool]]:
    """Asks a component of a plan."""
    if component.name == REDIS:
        return functools.partial(answers_ping, component.address)
    if component.name.partition("-")[0] == WORKER:
        ping = WorkerPing(QueueConfig(component.environment["EUREKA_QUEUE__URL"]))
        return functools.partial(asyncio.to_thread, ping.answers, node_name(component.name), HEALTH_SECONDS)
    return functools.partial(is_serving, component.address, tls)


def node_name(worker: str) -> str:
    """By which Celery knows a worker of this machine."""
    return f"{worker}@{socket.gethostname()}"


async def answers_ping(address: str) -> bool:
    """Whether a Redis is there and has read what it kept."""
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
