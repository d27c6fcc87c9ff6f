"""What of the platform runs in a namespace: pools, the queue, burst jobs; from the Kubernetes API alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from eureka.clients.cluster.bursts import BurstStatus, status_of
from eureka.clients.cluster.connection import REQUEST_SECONDS, cluster_errors
from eureka.clients.cluster.watch import SELECTOR
from eureka.errors import EurekaError, NotFoundError

RELEASE = "app.kubernetes.io/name=eureka"
"""Labels of all that the chart makes."""

SWEEPER = "sweeper"
"""Component that knows what is left to do, lane by lane, and shows it as metrics."""

_COMPONENT, _VERSION = "app.kubernetes.io/component", "app.kubernetes.io/version"
_LANE, _TRACK = "eureka.audio/lane", "eureka.audio/track"
_SAMPLE = re.compile(
    r"^(eureka_tasks_waiting|eureka_queued_audio_seconds|eureka_jobs_unfinished)"
    r'\{[^}]*lane="([^"]+)"[^}]*\} (\S+)$',
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Pool:
    """Pods of one kind.

    Attributes:
        name: of the Deployment or StatefulSet.
        component: gateway, encoder, adapter, decoder, worker, sweeper and so on.
        lane: that a pool of workers serves; empty for others.
        track: stable or canary; empty for others.
        version: of the platform.
        num_ready, num_updated, num_wanted: pods.
    """

    name: str
    component: str
    lane: str
    track: str
    version: str
    num_ready: int
    num_updated: int
    num_wanted: int

    @property
    def state(self) -> str:
        """ready; rolling, while pods are replaced; off, where none is wanted; not_ready."""
        if self.num_wanted == 0:
            return "off"
        if self.num_ready < self.num_wanted:
            return "not_ready" if self.num_updated >= self.num_wanted else "rolling"
        return "ready" if self.num_updated >= self.num_wanted else "rolling"


@dataclass(frozen=True, slots=True)
class LaneQueue:
    """What is left to do of one lane.

    Attributes:
        lane: its name.
        num_jobs: that have not ended.
        num_waiting: messages that wait for a worker.
        audio_seconds: of windows that have not ended.
    """

    lane: str
    num_jobs: int
    num_waiting: int
    audio_seconds: float


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """What runs in a namespace.

    Attributes:
        namespace: where.
        pools: by component.
        queue: lane by lane; None where nobody could be asked.
        queue_problem: why not; empty otherwise.
        bursts: the newest first.
    """

    namespace: str
    pools: tuple[Pool, ...]
    queue: tuple[LaneQueue, ...] | None
    queue_problem: str
    bursts: tuple[BurstStatus, ...]

    @property
    def is_ready(self) -> bool:
        """Whether there are pools, and each has the pods that it wants."""
        return bool(self.pools) and all(pool.state in ("ready", "off") for pool in self.pools)


def cluster_status(api: Any, namespace: str, selector: str = RELEASE) -> ClusterStatus:
    """What runs in a namespace.

    Args:
        api: a `kubernetes.client.ApiClient`.
        namespace: where.
        selector: labels of the pools; a release by `app.kubernetes.io/instance=NAME`.

    Raises:
        EurekaError: as `cluster_errors`; without the right to list deployments nothing is told.
    """
    from kubernetes import client

    with cluster_errors(f"list deployments in namespace {namespace}"):
        pools = tuple(_pools(client.AppsV1Api(api), namespace, selector))
    with cluster_errors(f"list jobs in namespace {namespace}"):
        bursts = _bursts(client.BatchV1Api(api), namespace)
    try:
        queue, problem = tuple(_queue(client.CoreV1Api(api), namespace, selector)), ""
    except EurekaError as error:
        return ClusterStatus(namespace, pools, None, error.message, bursts)
    return ClusterStatus(namespace, pools, queue, problem, bursts)


def _pools(apps: Any, namespace: str, selector: str) -> Iterator[Pool]:
    found = [
        one
        for ask in (apps.list_namespaced_deployment, apps.list_namespaced_stateful_set)
        for one in ask(namespace, label_selector=selector, _request_timeout=REQUEST_SECONDS).items
    ]
    for one in sorted(found, key=lambda one: (_label(one, _COMPONENT), one.metadata.name)):
        status = one.status
        yield Pool(
            one.metadata.name,
            _label(one, _COMPONENT),
            _label(one, _LANE),
            _label(one, _TRACK),
            _label(one, _VERSION),
            (status.ready_replicas or 0) if status else 0,
            (status.updated_replicas or 0) if status else 0,
            1 if one.spec.replicas is None else one.spec.replicas,
        )


def _bursts(batch: Any, namespace: str) -> tuple[BurstStatus, ...]:
    """Ids begin with inverted time: the newest first."""
    found = batch.list_namespaced_job(namespace, label_selector=SELECTOR, _request_timeout=REQUEST_SECONDS)
    return tuple(sorted(map(status_of, found.items), key=lambda one: one.batch))


def _queue(core: Any, namespace: str, selector: str) -> Iterator[LaneQueue]:
    """What the sweeper shows, read through the API server: nothing of the cluster need be reachable."""
    with cluster_errors(f"read the sweeper's metrics in namespace {namespace}"):
        found = core.list_namespaced_pod(
            namespace, label_selector=f"{selector},{_COMPONENT}={SWEEPER}", _request_timeout=REQUEST_SECONDS
        )
        pods = [pod for pod in found.items if _is_ready(pod)]
        if not pods:
            raise NotFoundError("no sweeper is ready, which knows the queue", reason="NO_SWEEPER")
        text = core.connect_get_namespaced_pod_proxy_with_path(
            f"{pods[0].metadata.name}:{_metrics_port(pods[0])}",
            namespace,
            "metrics",
            _request_timeout=REQUEST_SECONDS,
        )
    return iter(lanes_in(str(text)))


def lanes_in(metrics: str) -> list[LaneQueue]:
    """Lanes of a sweeper's metrics, in the order of their first line."""
    values: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, lane, value in _SAMPLE.findall(metrics):
        values[lane][name] += float(value)
    return [
        LaneQueue(
            lane,
            round(told["eureka_jobs_unfinished"]),
            round(told["eureka_tasks_waiting"]),
            told["eureka_queued_audio_seconds"],
        )
        for lane, told in values.items()
    ]


def _is_ready(pod: Any) -> bool:
    conditions = (pod.status.conditions if pod.status else None) or []
    return any(one.type == "Ready" and one.status == "True" for one in conditions)


def _metrics_port(pod: Any) -> int:
    ports = [port for one in pod.spec.containers for port in one.ports or [] if port.name == "metrics"]
    if not ports:
        raise NotFoundError(f"{pod.metadata.name} has no port named metrics", reason="NO_METRICS_PORT")
    number: int = ports[0].container_port
    return number


def _label(found: Any, name: str) -> str:
    return str((found.metadata.labels or {}).get(name, ""))
