"""A whole job in this process: plan, windows, merge; started again it goes on where it was killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from eureka.errors import EurekaError
from eureka.jobs.claims import Claims
from eureka.jobs.deletion import delete_job
from eureka.jobs.hearing import Clocks, JobModel
from eureka.jobs.job_store import JobStore, WindowRef
from eureka.jobs.merge import Merger
from eureka.jobs.outcome import is_outcome
from eureka.jobs.planning import Planner, PlanSettings
from eureka.jobs.runner import RunEnd, WindowRunner
from eureka.jobs.source import AudioOpener, SpanFetcher
from eureka.jobs.states import JobState, state_of
from eureka.jobs.summary import Summarizer
from eureka.storage.keys import JobKeys

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often what may pass is tried again, and how long is waited before."""

    num_tries: int = 5
    wait_seconds: float = 1.0


class LocalRunner:
    """Runs jobs one after another, each to its end.

    Args:
        jobs: documents of jobs.
        model: hears them.
        opener: decodes audio.
        clocks: see there.
        claims: of all runners of this job, so that they share its windows.
        patience: with what is away for a while.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        jobs: JobStore,
        model: JobModel,
        opener: AudioOpener,
        clocks: Clocks,
        claims: Claims | None = None,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._jobs = jobs
        self._model = model
        self._opener = opener
        self._clocks = clocks
        self._claims = claims
        self._patience = patience or Patience()
        self._sleep = sleep
        self._planner = Planner(jobs, opener, PlanSettings(model.card, model.settings.silence_dbfs))
        self._merger = Merger(jobs, clocks.utc, Summarizer(model.decoder, clocks.usage))

    def run(self, keys: JobKeys) -> JobState | None:
        """The state that the job's latest round ends with; None where it is deleted.

        Raises:
            NotFoundError: there is no such job.
            EurekaError: the store stays away.
        """
        state = self._merger.merge(keys) if not self._jobs.objects.exists(keys.delete) else None
        if state is not None:
            return state
        number = max(self._jobs.rounds(keys), default=1)
        if not self._plan(keys, number):
            return self._finish(keys)
        with closing(SpanFetcher(self._jobs.objects, self._opener)) as fetcher:
            runner = WindowRunner(self._jobs, fetcher, self._model, self._clocks, self._claims)
            self._run_windows(runner, keys, number)
        return self._finish(keys)

    def _plan(self, keys: JobKeys, number: int) -> bool:
        """Plan the round; whether there are windows to run."""
        try:
            plan = self._patiently(
                lambda: self._planner.plan(keys, number, lambda: self._jobs.is_stopped(keys, number))
            )
        except EurekaError as error:
            if not is_outcome(error):
                raise
            self._merger.fail(keys, error)
            return False
        return plan is not None

    def _run_windows(self, runner: WindowRunner, keys: JobKeys, number: int) -> None:
        """Run what is missing, until nothing is or the job is stopped."""
        while refs := self._missing(keys, number):
            ends = set()
            for ref in refs:
                ends.add(end := self._run_window(runner, ref))
                if end is RunEnd.STOPPED:
                    return
            if ends == {RunEnd.BUSY}:
                self._sleep(self._patience.wait_seconds)

    def _run_window(self, runner: WindowRunner, ref: WindowRef) -> RunEnd:
        try:
            return self._patiently(lambda: runner.run(ref))
        except EurekaError as error:
            if not error.is_retryable:
                raise
            return runner.give_up(ref, error)

    def _missing(self, keys: JobKeys, number: int) -> list[WindowRef]:
        plan, ended = self._jobs.plan(keys, number), self._jobs.ended_windows(keys, number)
        windows = plan.sounding if plan is not None else ()
        return [WindowRef(keys, number, w.index) for w in windows if w.index not in ended]

    def _finish(self, keys: JobKeys) -> JobState | None:
        if state_of(self._jobs.facts(keys)) is None:
            delete_job(self._jobs.objects, keys)
            return None
        return self._merger.merge(keys)

    def _patiently(self, call: Callable[[], _T]) -> _T:
        """What `call` gives, tried again while parts that serve are away."""
        for _ in range(self._patience.num_tries - 1):
            try:
                return call()
            except EurekaError as error:
                if not error.is_retryable:
                    raise
            self._sleep(self._patience.wait_seconds)
        return call()
