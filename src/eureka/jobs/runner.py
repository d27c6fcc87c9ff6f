"""One window of a job from audio to its document; safe to run any number of times, anywhere."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from eureka.errors import CancelledError, EurekaError, NotFoundError, StageUnavailableError
from eureka.jobs.claims import Claim, Claims, NoClaims
from eureka.jobs.hearing import Clocks, JobModel, WindowHearing
from eureka.jobs.job_store import JobStore, WindowRef
from eureka.jobs.outcome import Failure, WindowOutcome, ended, is_outcome
from eureka.jobs.plan import JobPlan, PlannedSpan
from eureka.jobs.source import SpanFetcher
from eureka.jobs.spec import JobSpec
from eureka.types import Ending


class RunEnd(StrEnum):
    """What a run did.

    WRITTEN: this run's document stands. ENDED: there is one of another run. BUSY: another worker is at it.
    STOPPED: the job is cancelled, deleted or past its deadline; nothing was written.
    """

    WRITTEN = "WRITTEN"
    ENDED = "ENDED"
    BUSY = "BUSY"
    STOPPED = "STOPPED"


class WindowRunner:
    """Runs windows: claim, fetch, hear, write once.

    Args:
        jobs: documents of jobs.
        fetcher: of samples.
        model: hears them.
        clocks: see there.
        claims: of all workers; without them work may be done twice, with the same effect.
        on_written: given each outcome whose document this runner wrote, for metrics.
    """

    def __init__(
        self,
        jobs: JobStore,
        fetcher: SpanFetcher,
        model: JobModel,
        clocks: Clocks,
        claims: Claims | None = None,
        on_written: Callable[[WindowOutcome], None] = lambda outcome: None,
    ) -> None:
        self._jobs = jobs
        self._fetcher = fetcher
        self._model = model
        self._hearing = WindowHearing(model, clocks)
        self._clocks = clocks
        self._claims = claims or NoClaims()
        self._on_written = on_written

    def run(self, ref: WindowRef) -> RunEnd:
        """Hear the window and write its document, unless it has ended or the job is stopped.

        Audio that is gone or changed, and a model that refuses, make a document that says so.

        Raises:
            EurekaError: a part that serves or the store is away (`is_retryable`), or this process lacks
                rights; nothing was written.
            NotFoundError: there is no such round or window (WINDOW_NOT_FOUND).
        """
        if self._jobs.objects.exists(ref.key):
            return RunEnd.ENDED
        if self._jobs.is_stopped(ref.keys, ref.round_number):
            return RunEnd.STOPPED
        spec = self._jobs.spec(ref.keys)
        if spec.deadline_time is not None and self._clocks.utc() >= spec.deadline_time:
            return RunEnd.STOPPED
        claim = self._claims.claim(ref.key)
        if claim is None:
            return RunEnd.BUSY
        try:
            return self._run(ref, spec, claim)
        finally:
            claim.release()

    def give_up(self, ref: WindowRef, error: EurekaError) -> RunEnd:
        """Write that the window ended with `error`: for callers who have tried often enough."""
        _, window = self._planned(ref)
        outcome = self._failed(ref, self._jobs.spec(ref.keys), window, error)
        return self._write(ref, outcome)

    def _run(self, ref: WindowRef, spec: JobSpec, claim: Claim) -> RunEnd:
        if self._jobs.objects.exists(ref.key):  # ended between the first look and the claim
            return RunEnd.ENDED
        plan, window = self._planned(ref)
        try:
            outcome = self._heard(ref, spec, plan, window, claim)
        except CancelledError as error:
            if self._jobs.is_stopped(ref.keys, ref.round_number):
                return RunEnd.STOPPED
            message = f"a request was ended from the decoder's side ({error.message}); try again"
            raise StageUnavailableError(message, reason="REQUEST_ENDED") from error
        except EurekaError as error:
            if not is_outcome(error):
                raise
            outcome = self._failed(ref, spec, window, error)
        if self._jobs.is_stopped(ref.keys, ref.round_number):
            return RunEnd.STOPPED
        return self._write(ref, outcome)

    def _heard(
        self, ref: WindowRef, spec: JobSpec, plan: JobPlan, window: PlannedSpan, claim: Claim
    ) -> WindowOutcome:
        def beat() -> None:
            claim.beat()
            if self._jobs.is_stopped(ref.keys, ref.round_number):
                raise CancelledError("the job was stopped")

        pcm = self._fetcher.fetch(plan.source, window)
        tracks, usage = self._hearing.hear(spec, window, pcm, beat)
        return WindowOutcome(ref.round_number, ref.index, tracks, self._model.version, usage)

    def _failed(
        self, ref: WindowRef, spec: JobSpec, window: PlannedSpan, error: EurekaError
    ) -> WindowOutcome:
        track = ended(window, Ending.ERROR, Failure.of(error))
        tracks = dict.fromkeys(spec.tasks, track)
        return WindowOutcome(ref.round_number, ref.index, tracks, self._model.version)

    def _planned(self, ref: WindowRef) -> tuple[JobPlan, PlannedSpan]:
        plan = self._jobs.plan(ref.keys, ref.round_number)
        window = plan.window(ref.index) if plan else None
        if plan is None or window is None or window.is_silent:
            raise _no_window(ref)
        return plan, window

    def _write(self, ref: WindowRef, outcome: WindowOutcome) -> RunEnd:
        if not self._jobs.put_outcome(ref.keys, outcome):
            return RunEnd.ENDED
        self._on_written(outcome)
        return RunEnd.WRITTEN


def _no_window(ref: WindowRef) -> NotFoundError:
    message = f"job {ref.keys.job_id} has no window {ref.index} to hear in round {ref.round_number}"
    return NotFoundError(message, reason="WINDOW_NOT_FOUND")
