"""Readiness and liveness of a server, by grpc.health.v1.

Ready means: the last real answer, from traffic or from a probe, is younger than 30 s. A full queue is an
answer too. Liveness is the heartbeat of the event loop, under the service name "liveness", and never asks
the model.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from grpc_health.v1 import health, health_pb2

from eureka.errors import (
    EurekaError,
    InvalidInputError,
    QueueFullError,
    StageUnavailableError,
)

logger = logging.getLogger(__name__)

LIVENESS_SERVICE = "liveness"
"""Health service name whose status is the loop's heartbeat."""

MODEL_GONE_REASON = "MODEL_GONE"
"""Reason of a StageUnavailableError when Triton is there and the model's process is not."""

Probe = Callable[[], Awaitable[object]]
"""A tiny real inference; it returns when it was answered and raises what went wrong."""

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True, slots=True)
class HealthTimes:
    """How fast readiness follows, in seconds.

    Attributes:
        max_silence_seconds: age of the last answer up to which a server is ready.
        probe_after_seconds: silence after which a probe asks.
        probe_timeout_seconds: time that a probe may take.
        beat_seconds: between looks at the clock.
    """

    max_silence_seconds: float = 30.0
    probe_after_seconds: float = 10.0
    probe_timeout_seconds: float = 10.0
    beat_seconds: float = 0.5


class HealthMonitor:
    """Keeps the health service true to the last real answer.

    Args:
        probe: asks the model when traffic does not; None where somebody else records answers.
        services: full names of the gRPC services; they and "" share one readiness.
        times: how fast it follows.
    """

    def __init__(
        self, probe: Probe | None, services: Sequence[str] = (), times: HealthTimes | None = None
    ) -> None:
        self._probe = probe
        self._times = times or HealthTimes()
        self._services = ("", *services)
        self._answered: float | None = None
        self._is_gone = False
        self._is_draining = False
        self._shown: bool | None = None
        self._changed = asyncio.Event()
        self._has_been_ready = asyncio.Event()
        self.servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]  # set at import

    @property
    def is_ready(self) -> bool:
        """Whether new calls are welcome."""
        if self._is_draining or self._is_gone or self._answered is None:
            return False
        return monotonic() - self._answered < self._times.max_silence_seconds

    def record_answer(self) -> None:
        """A real answer came."""
        self._answered = monotonic()
        self._is_gone = False
        if not self._shown:
            self._changed.set()

    def record_error(self, error: EurekaError) -> None:
        """A call failed; a full queue counts as an answer, wrong input says nothing about the model."""
        if isinstance(error, QueueFullError):
            self.record_answer()

    def record_running(self, num_calls: int) -> None:
        """So many calls wait for the model; readiness does not depend on it."""

    def record_gone(self) -> None:
        """The model is known to be gone: not ready until the next answer."""
        self._is_gone = True
        self._changed.set()

    async def run(self) -> None:
        """Probe and publish until cancelled."""
        await self._publish()
        await self.servicer.set(LIVENESS_SERVICE, SERVING)
        probing: asyncio.Task[None] | None = None
        try:
            while True:
                if self._is_probe_due() and (probing is None or probing.done()):
                    probing = asyncio.create_task(self._ask())
                await self._wait()
                await self._publish()
        finally:
            if probing is not None:
                probing.cancel()

    async def until_ready(self) -> None:
        """Return when it has been ready for the first time; `run` must be running."""
        await self._has_been_ready.wait()

    async def drain(self) -> None:
        """Not ready any more, for good; liveness stays."""
        self._is_draining = True
        await self._publish()

    def _is_probe_due(self) -> bool:
        if self._probe is None or self._is_draining:
            return False
        if self._answered is None or self._is_gone:
            return True
        return monotonic() - self._answered >= self._times.probe_after_seconds

    async def _ask(self) -> None:
        assert self._probe is not None
        try:
            await asyncio.wait_for(self._probe(), self._times.probe_timeout_seconds)
        except EurekaError as error:
            if is_alive(error):
                self.record_answer()
            else:
                logger.warning("probe_failed", extra={"reason": error.reason})
        except TimeoutError:
            logger.warning("probe_timed_out", extra={"limit_seconds": self._times.probe_timeout_seconds})
        except Exception:
            logger.exception("probe_failed")
        else:
            self.record_answer()

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), self._times.beat_seconds)
        self._changed.clear()

    async def _publish(self) -> None:
        is_ready = self.is_ready
        if is_ready is self._shown:
            return
        self._shown = is_ready
        if is_ready:
            self._has_been_ready.set()
        logger.info("readiness_changed", extra={"is_ready": is_ready})
        for service in self._services:
            await self.servicer.set(service, SERVING if is_ready else NOT_SERVING)


def is_alive(error: EurekaError) -> bool:
    """Whether the error of a probe shows that the model, or the queue before it, answered."""
    return isinstance(error, QueueFullError | InvalidInputError)


def is_gone(error: EurekaError) -> bool:
    """Whether an error says that the model's process is away."""
    return isinstance(error, StageUnavailableError) and error.reason == MODEL_GONE_REASON
