"""`python -m eureka.runtime.healthcheck COMPONENT`: whether the component of this container welcomes work.

For images and pods: the settings say where it listens and by what TLS, and the exit status is the answer.
A server is asked for its readiness, or with `--live` for its liveness; a worker is asked through the queue;
each model of Triton answers a tiny request.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence

from eureka.errors import EurekaError
from eureka.runtime.health import LIVENESS_SERVICE
from eureka.runtime.settings import Settings, load_settings
from eureka.runtime.stack_plan import reachable
from eureka.runtime.stack_probe import is_serving
from eureka.runtime.tls import own_servers_tls

SERVERS = ("gateway", "encoder", "adapter", "decoder")

ANSWER_SECONDS = 4.0
"""Time of one worker or model; a loaded machine needs some of it to start this process."""


def is_server_healthy(settings: Settings, component: str, service: str = "") -> bool:
    """Whether the gRPC health of a server of this container says SERVING.

    Args:
        settings: with its address and TLS.
        component: one of `SERVERS`.
        service: empty for readiness, `LIVENESS_SERVICE` for the loop's heartbeat.
    """
    section = getattr(settings, component)
    address = f"{reachable(section.host)}:{section.port}"
    return asyncio.run(is_serving(address, own_servers_tls(settings.tls), service))


def is_worker_healthy(settings: Settings) -> bool:
    """Whether the worker of this container answers a ping through the queue."""
    from eureka.clients.task_queue import WorkerPing  # here: brings Celery
    from eureka.runtime.stack_health import node_name

    ping = WorkerPing(settings.queue.config())
    try:
        return ping.answers(node_name(settings.worker.name), ANSWER_SECONDS)
    finally:
        ping.close()


def is_triton_healthy(settings: Settings) -> bool:
    """Whether each model that Triton was told to load answers a tiny request."""
    from tritonclient.grpc import service_pb2_grpc  # here: services and workers need none of it

    from eureka.clients.channels import ChannelConfig, open_sync_channel
    from eureka.runtime.triton import answers_probe

    section = settings.triton
    address = f"{reachable(section.host)}:{section.grpc_port}"
    with open_sync_channel(ChannelConfig(address)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return all(answers_probe(stub, model, ANSWER_SECONDS) for model in section.models.split(","))


def check_of(component: str, *, live: bool) -> Callable[[Settings], bool]:
    """What asks a component."""
    if component == "worker":
        return is_worker_healthy
    if component == "triton":
        return is_triton_healthy
    service = LIVENESS_SERVICE if live else ""
    return lambda settings: is_server_healthy(settings, component, service)


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, and say a word; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m eureka.runtime.healthcheck", description=__doc__)
    parser.add_argument("component", choices=(*SERVERS, "worker", "triton"))
    parser.add_argument("--live", action="store_true", help="ask a server for its liveness")
    given = parser.parse_args(arguments)
    try:
        is_healthy = check_of(given.component, live=given.live)(load_settings())
    except EurekaError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    print("healthy" if is_healthy else "not healthy")
    return 0 if is_healthy else 1


if __name__ == "__main__":
    sys.exit(main())
