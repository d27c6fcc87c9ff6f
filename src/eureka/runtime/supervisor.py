"""Notices that a model's process is gone, and loads the model again.

Triton neither restarts a killed model process nor says that it is gone: live, ready and model-ready stay
true. So a tiny inference asks while there is no traffic, and at once when traffic met MODEL_GONE. A busy
model is not a dead one: a probe that takes too long, or finds the queue full, counts only when traffic had
no answer meanwhile, and while calls run only after a longer time.
Calls that wait for a model which is gone are ended at once, those to the ensembles over it too.
An ensemble over the model may go with it; it is loaded again and asked as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import monotonic
from typing import Protocol

from eureka.errors import EurekaError, QueueFullError, StageUnavailableError
from eureka.runtime.health import Probe, is_alive, is_gone

logger = logging.getLogger(__name__)


class ModelRepository(Protocol):
    """What the supervisor asks of Triton and its client."""

    async def load(self, model: str) -> None:
        """Load a model, or load it again."""

    async def unload(self, model: str) -> None:
        """Unload a model and end its process."""

    async def ready(self, model: str) -> bool:
        """Whether Triton calls the model ready, which says little."""

    def end_calls(self, model: str) -> None:
        """End the calls that wait for a model which is gone: Triton never would."""


class Readiness(Protocol):
    """Who is told what the supervisor found, for example a HealthMonitor."""

    def record_answer(self) -> None:
        """The model answered."""

    def record_gone(self) -> None:
        """The model is gone."""


@dataclass(frozen=True, slots=True)
class SupervisedModel:
    """A model with its probe.

    Attributes:
        name: in Triton's repository.
        probe: a tiny inference by it.
    """

    name: str
    probe: Probe


@dataclass(frozen=True, slots=True)
class SupervisorTimes:
    """How fast the supervisor works, in seconds; found within 5, back within 15.

    Attributes:
        idle_seconds: silence after which a probe asks.
        probe_timeout_seconds: time that a probe may take.
        busy_timeout_seconds: time without any answer, while calls run or the queue is full, after which a
            model that does not answer probes counts as gone; above the longest single inference.
        load_timeout_seconds: time that unloading and loading may take.
        first_backoff_seconds: pause after the first reload that did not help; doubles.
        max_backoff_seconds: longest pause.
    """

    idle_seconds: float = 1.5
    probe_timeout_seconds: float = 2.0
    busy_timeout_seconds: float = 10.0
    load_timeout_seconds: float = 60.0
    first_backoff_seconds: float = 1.0
    max_backoff_seconds: float = 30.0


class _Verdict(Enum):
    ALIVE = "alive"
    BUSY = "busy"  # no answer yet, and a reason for it
    GONE = "gone"
    AWAY = "away"  # Triton itself: loading cannot help


class ModelSupervisor:
    """Watches one model of one Triton, and the ensembles over it.

    Args:
        repository: loads and unloads.
        model: the model with its probe.
        dependents: ensembles over it; those that Triton did not hold before are left alone.
        readiness: told of answers and of a model that is gone.
        times: how fast it works.
        on_reload: called after the model is back, for example to count.
    """

    def __init__(
        self,
        repository: ModelRepository,
        model: SupervisedModel,
        *,
        readiness: Readiness,
        dependents: tuple[SupervisedModel, ...] = (),
        times: SupervisorTimes | None = None,
        on_reload: Callable[[], None] | None = None,
    ) -> None:
        self._repository = repository
        self._model = model
        self._readiness = readiness
        self._dependents = dependents
        self._served: set[str] = set()
        self._times = times or SupervisorTimes()
        self._on_reload = on_reload or (lambda: None)
        self._answered = monotonic()
        self._num_running = 0
        self._gone_since: float | None = None
        self._backoff_seconds = self._times.first_backoff_seconds
        self._reason = ""
        self._wake = asyncio.Event()
        self.num_reloads = 0

    def record_answer(self) -> None:
        """Traffic was answered."""
        self._answered = monotonic()

    def record_error(self, error: EurekaError) -> None:
        """Traffic failed; MODEL_GONE makes the supervisor ask at once."""
        if is_gone(error):
            self._wake.set()

    def record_running(self, num_calls: int) -> None:
        """So many calls wait for the model."""
        self._num_running = num_calls

    async def run(self) -> None:
        """Ask, and load again what is gone, until cancelled."""
        while True:
            verdict = await self._ask(self._model)
            if verdict is _Verdict.ALIVE:
                await self._note_alive()
                await self._idle()
                continue
            if verdict is not _Verdict.BUSY:
                self._note_gone(verdict)
            if verdict is not _Verdict.GONE:
                await asyncio.sleep(self._times.idle_seconds)
            elif not await self._reloaded():
                await self._back_off()

    async def _note_alive(self) -> None:
        if self._gone_since is not None:
            duration_seconds = round(monotonic() - self._gone_since, 3)
            extra = {"model": self._model.name, "duration_seconds": duration_seconds}
            logger.warning("model_back", extra=extra)
        self._gone_since = None
        self._backoff_seconds = self._times.first_backoff_seconds
        self._readiness.record_answer()
        await self._note_dependents()

    def _note_gone(self, verdict: _Verdict) -> None:
        if self._gone_since is None:
            self._gone_since = monotonic()
            event = "model_gone" if verdict is _Verdict.GONE else "triton_away"
            logger.warning(event, extra={"model": self._model.name, "reason": self._reason})
        self._readiness.record_gone()
        if verdict is _Verdict.GONE:
            for model in (self._model, *self._dependents):
                self._repository.end_calls(model.name)

    async def _back_off(self) -> None:
        extra = {"model": self._model.name, "pause_seconds": self._backoff_seconds, "reason": self._reason}
        logger.warning("model_reload_failed", extra=extra)
        await asyncio.sleep(self._backoff_seconds)
        self._backoff_seconds = min(2 * self._backoff_seconds, self._times.max_backoff_seconds)

    async def _idle(self) -> None:
        """Wait until so much time has passed without traffic, or traffic met a model that is gone."""
        while (left := self._answered + self._times.idle_seconds - monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)
            if self._wake.is_set():
                break
        self._wake.clear()

    async def _ask(self, model: SupervisedModel) -> _Verdict:
        started = monotonic()
        try:
            await asyncio.wait_for(model.probe(), self._times.probe_timeout_seconds)
        except TimeoutError:
            if self._answered > started:
                return _Verdict.ALIVE
            return self._busy_or_gone("PROBE_TIMED_OUT", self._num_running > 0)
        except QueueFullError as error:
            return self._busy_or_gone(error.reason, True)
        except StageUnavailableError as error:
            is_away = not is_gone(error) and not await self._is_triton_there()
            return self._not_alive(error.reason, _Verdict.AWAY if is_away else _Verdict.GONE)
        except EurekaError as error:
            if not is_alive(error):
                return self._not_alive(error.reason)
        except Exception as error:
            return self._not_alive(type(error).__name__)
        self.record_answer()
        return _Verdict.ALIVE

    def _busy_or_gone(self, reason: str, may_be_busy: bool) -> _Verdict:
        is_long = monotonic() - self._answered >= self._times.busy_timeout_seconds
        return _Verdict.BUSY if may_be_busy and not is_long else self._not_alive(reason)

    def _not_alive(self, reason: str, verdict: _Verdict = _Verdict.GONE) -> _Verdict:
        self._reason = reason
        return verdict

    async def _is_triton_there(self) -> bool:
        try:
            await asyncio.wait_for(
                self._repository.ready(self._model.name), self._times.probe_timeout_seconds
            )
        except (EurekaError, TimeoutError):
            return False
        return True

    async def _reloaded(self) -> bool:
        """One attempt: the model and the ensembles over it are loaded and answer."""
        wanted = [model for model in self._dependents if model.name in self._served]
        try:
            async with asyncio.timeout(self._times.load_timeout_seconds):
                await self._load(wanted)
        except (EurekaError, TimeoutError) as error:
            self._reason = getattr(error, "reason", "LOAD_TIMED_OUT")
            return False
        for model in (self._model, *wanted):
            if await self._ask(model) is not _Verdict.ALIVE:
                return False
        self.num_reloads += 1
        logger.warning("model_reloaded", extra={"model": self._model.name})
        self._on_reload()
        return True

    async def _load(self, dependents: list[SupervisedModel]) -> None:
        with contextlib.suppress(EurekaError):  # what is not there need not be unloaded
            await self._repository.unload(self._model.name)
        for model in (self._model, *dependents):
            await self._repository.load(model.name)

    async def _note_dependents(self) -> None:
        """Remember which ensembles Triton holds while all is well."""
        for dependent in self._dependents:
            if dependent.name in self._served:
                continue
            with contextlib.suppress(EurekaError):
                if await self._repository.ready(dependent.name):
                    self._served.add(dependent.name)
