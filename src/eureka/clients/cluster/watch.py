"""Knows how all burst jobs stand, by one list and then a watch; what is lost of it is listed again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from eureka.clients.cluster.bursts import MANAGED_BY, BurstStatus, status_of
from eureka.clients.cluster.connection import REQUEST_SECONDS, cluster_errors
from eureka.errors import EurekaError

logger = logging.getLogger(__name__)

SELECTOR = ",".join(f"{name}={value}" for name, value in MANAGED_BY.items())

WATCH_SECONDS = 60
"""Of one watch; then the next one goes on where it ended."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
"""Before another list, after one or a watch that was lost; doubles."""


class BurstWatch:
    """Follows the burst jobs of a namespace on a thread of its own.

    Args:
        api: a `kubernetes.client.ApiClient`.
        namespace: of the jobs.
        wait: pauses, in seconds, until closed; whether it was closed.
    """

    def __init__(self, api: Any, namespace: str, wait: Callable[[float], bool] | None = None) -> None:
        self._api = api
        self._namespace = namespace
        self._lock = threading.Lock()
        self._known: dict[str, BurstStatus] = {}
        self._is_current = False
        self._closing = threading.Event()
        self._wait = wait or self._closing.wait
        self._thread = threading.Thread(target=self._run, name="burst-watch", daemon=True)

    def start(self) -> None:
        """Follow from now on."""
        self._thread.start()

    def close(self) -> None:
        """Follow no more; the thread ends with its watch, and holds nobody up."""
        self._closing.set()

    @property
    def is_current(self) -> bool:
        """Whether what is known is what is there; not before the first list, nor after a loss."""
        return self._is_current

    def find(self, batch_id: str) -> BurstStatus | None:
        """The job of a batch; None where it is not known, or the watch is behind."""
        with self._lock:
            return self._known.get(batch_id) if self._is_current else None

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._closing.is_set():
            try:
                self._follow()
                pause = FIRST_PAUSE_SECONDS
                continue
            except EurekaError as error:
                logger.warning("burst_watch_lost", extra={"reason": error.reason, "pause_seconds": pause})
            except Exception:
                logger.exception("burst_watch_broken")
            self._is_current = False
            if self._wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _follow(self) -> None:
        """List, then watch until the watch is lost, or closed."""
        with cluster_errors(f"watch jobs in namespace {self._namespace}"):
            version = self._list()
            while not self._closing.is_set():
                version = self._heard(version)
                self._wait(FIRST_PAUSE_SECONDS)

    def _list(self) -> str:
        found = self._jobs().list_namespaced_job(
            self._namespace, label_selector=SELECTOR, _request_timeout=REQUEST_SECONDS
        )
        statuses = [status_of(job) for job in found.items]
        with self._lock:
            self._known = {one.batch: one for one in statuses}
        self._is_current = True
        return str(found.metadata.resource_version)

    def _heard(self, version: str) -> str:
        """One watch from a version on; the version to go on with."""
        from kubernetes import watch

        watching: Any = watch.Watch  # it has no types
        events = watching().stream(
            self._jobs().list_namespaced_job,
            self._namespace,
            label_selector=SELECTOR,
            resource_version=version,
            timeout_seconds=WATCH_SECONDS,
            _request_timeout=(REQUEST_SECONDS, WATCH_SECONDS + REQUEST_SECONDS),
        )
        for event in events:
            job = event["object"]
            self._note(event["type"], status_of(job))
            version = str(job.metadata.resource_version)
            if self._closing.is_set():
                break
        return version

    def _note(self, kind: str, status: BurstStatus) -> None:
        with self._lock:
            if kind == "DELETED":
                self._known.pop(status.batch, None)
            else:
                self._known[status.batch] = status

    def _jobs(self) -> Any:
        from kubernetes import client

        return client.BatchV1Api(self._api)
