"""cluster status: what of the platform runs in a Kubernetes cluster."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eureka.cli.arguments import Commands
    from eureka.clients.cluster.bursts import BurstStatus
    from eureka.clients.cluster.pools import ClusterStatus, LaneQueue, Pool


def add_parsers(commands: Commands) -> None:
    """Add `cluster` with its command."""
    cluster = commands.add_parser("cluster", help="look at a cluster", description="Look at a cluster.")
    actions = cluster.add_subparsers(title="commands", metavar="COMMAND", required=True)
    status = actions.add_parser(
        "status",
        help="pools, queue and burst jobs",
        description=(
            "Show pools with their pods, what waits in the queue, and burst jobs. Asks the Kubernetes API, "
            "by a kubeconfig or the service account of this pod; the queue is read from the sweeper through "
            "it. Exit status 1 where a pool has not the pods that it wants."
        ),
    )
    status.add_argument("--namespace", "-n", metavar="NAME", help="default: that of the kubeconfig")
    status.add_argument("--release", metavar="NAME", help="of Helm; default: all of the namespace")
    status.add_argument("--kubeconfig", type=Path, metavar="FILE", help="default: KUBECONFIG, ~/.kube/config")
    status.add_argument("--context", metavar="NAME", help="of the kubeconfig; default: the current one")
    status.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    status.set_defaults(run=_status)


def _status(arguments: argparse.Namespace) -> int:
    from eureka.clients.cluster.connection import default_namespace, open_cluster
    from eureka.clients.cluster.pools import RELEASE, cluster_status

    api = open_cluster(arguments.kubeconfig, arguments.context)
    try:
        namespace = arguments.namespace or default_namespace(arguments.kubeconfig, arguments.context)
        release = f",app.kubernetes.io/instance={arguments.release}" if arguments.release else ""
        found = cluster_status(api, namespace, RELEASE + release)
    finally:
        api.close()
    print(as_json(found) if arguments.format == "json" else as_text(found))
    return 0 if found.is_ready else 1


def as_json(found: ClusterStatus) -> str:
    """One object."""
    queue = None if found.queue is None else [_plain_lane(one) for one in found.queue]
    plain: dict[str, Any] = {
        "ready": found.is_ready,
        "namespace": found.namespace,
        "pools": [_plain_pool(one) for one in found.pools],
        "queue": queue,
        "bursts": [_plain_burst(one) for one in found.bursts],
    }
    if found.queue_problem:
        plain["queue_problem"] = found.queue_problem
    return json.dumps(plain, indent=1)


def as_text(found: ClusterStatus) -> str:
    """Tables for people."""
    if not found.pools and not found.bursts:
        return f"nothing of the platform is in namespace {found.namespace}"
    return "\n".join(_lines(found))


def _lines(found: ClusterStatus) -> Iterator[str]:
    pools = [
        (
            one.name,
            one.component,
            one.lane or one.track or "-",
            f"{one.num_ready}/{one.num_wanted}",
            one.version or "-",
            one.state,
        )
        for one in found.pools
    ]
    yield from _table(("POOL", "COMPONENT", "LANE", "READY", "VERSION", "STATE"), pools)
    yield ""
    if found.queue is None:
        yield f"queue: unknown ({found.queue_problem})"
    else:
        lanes = [
            (one.lane, str(one.num_jobs), str(one.num_waiting), f"{one.audio_seconds:.0f}")
            for one in found.queue
        ]
        yield from _table(("LANE", "JOBS", "WAITING", "AUDIO SECONDS"), lanes)
    if found.bursts:
        yield ""
        bursts = [
            (one.name, one.state.value, f"{one.num_ready}/{one.num_active}", str(one.num_failed), one.reason)
            for one in found.bursts
        ]
        yield from _table(("BURST", "STATE", "READY", "FAILED", "REASON"), bursts)
    yield ""
    yield "ready" if found.is_ready else "not ready"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _plain_pool(pool: Pool) -> dict[str, Any]:
    pods = {"ready": pool.num_ready, "updated": pool.num_updated, "wanted": pool.num_wanted}
    plain = {"name": pool.name, "component": pool.component, "state": pool.state, "pods": pods}
    return plain | {"lane": pool.lane or None, "track": pool.track or None, "version": pool.version or None}


def _plain_lane(lane: LaneQueue) -> dict[str, Any]:
    audio = round(lane.audio_seconds, 3)
    return {"lane": lane.lane, "jobs": lane.num_jobs, "waiting": lane.num_waiting, "audio_seconds": audio}


def _plain_burst(burst: BurstStatus) -> dict[str, Any]:
    workers = {"active": burst.num_active, "ready": burst.num_ready, "failed": burst.num_failed}
    plain = {"name": burst.name, "job": f"jobs/{burst.batch}", "state": burst.state.value, "workers": workers}
    return plain | ({"reason": burst.reason, "message": burst.message} if burst.reason else {})
