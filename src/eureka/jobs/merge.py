"""Merging: the windows of all rounds become one result, as soon as nothing is left to be heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from eureka.errors import EurekaError
from eureka.jobs.documents import JSON_TYPE, to_pretty_bytes
from eureka.jobs.exports import MEDIA_TYPES, STORED_FORMS, export
from eureka.jobs.job_store import JobStore
from eureka.jobs.outcome import Failure
from eureka.jobs.reading import JobView, outcomes, view_of
from eureka.jobs.result import JobResult, ResultGatherer
from eureka.jobs.spec import JobSpec
from eureka.jobs.states import JobState
from eureka.jobs.summary import Summarizer
from eureka.jobs.unfinished import mark_finished
from eureka.storage.keys import JobKeys
from eureka.types import Ending


class Merger:
    """Writes results; merging twice has no effect.

    Args:
        jobs: documents of jobs.
        utc: the time of day, for deadlines.
        summarizer: for jobs that ask for a summary; without one their result says so.
    """

    def __init__(
        self, jobs: JobStore, utc: Callable[[], datetime], summarizer: Summarizer | None = None
    ) -> None:
        self._jobs = jobs
        self._utc = utc
        self._summarizer = summarizer

    def merge(self, keys: JobKeys) -> JobState | None:
        """The state that the latest round ended with; None while windows are missing and still wanted.

        Windows that nobody will hear any more end CANCELLED or DEADLINE in the ledger.

        Raises:
            NotFoundError: there is no such job.
            EurekaError: the store is away, or what a summary needs (`is_retryable`).
        """
        spec = self._jobs.spec(keys)
        number = max(self._jobs.rounds(keys), default=1)
        written = self._jobs.result_head(keys, number)
        if written is not None:
            return written.state
        ending = self._ending_of_missing(spec, number)
        view = view_of(self._jobs, keys)
        if view is None:
            return self._without_plan(spec, number, ending)
        if not view.is_complete and ending is None:
            return None
        return self._write(self._whole(spec, view, ending))

    def fail(self, keys: JobKeys, error: EurekaError) -> JobState:
        """End a job whose audio cannot be planned: FAILED, with the error."""
        number = max(self._jobs.rounds(keys), default=1)
        return self._write(_failed(self._jobs.spec(keys), number, Failure.of(error)))

    def partial(self, keys: JobKeys) -> JobResult | None:
        """What was heard so far, with a state that says that there is more; None before the plan.

        Windows that have not ended are not in its ledger.
        """
        view = view_of(self._jobs, keys)
        if view is None:
            return None
        gatherer = self._gathered(self._jobs.spec(keys), view, None)
        result = gatherer.build(self._jobs.spec(keys), view.plan, view.latest.plan.round_number)
        return replace(result, state=JobState.RUNNING, reasons=())

    def _whole(self, spec: JobSpec, view: JobView, ending: Ending | None) -> JobResult:
        gatherer = self._gathered(spec, view, ending)
        summary = None
        if spec.has_summary and self._summarizer is not None and ending is not Ending.CANCELLED:
            summary = self._summarizer.summarize(gatherer.segments())
        result = gatherer.build(spec, view.plan, view.latest.plan.round_number, summary)
        if ending is Ending.CANCELLED:
            result = replace(result, state=JobState.CANCELLED)
        return result

    def _gathered(self, spec: JobSpec, view: JobView, ending: Ending | None) -> ResultGatherer:
        gatherer = ResultGatherer(spec.tasks)
        for window, outcome in outcomes(self._jobs, view):
            gatherer.add(window, outcome, Ending.SILENCE if window.is_silent else ending)
        return gatherer

    def _ending_of_missing(self, spec: JobSpec, number: int) -> Ending | None:
        """How windows end that nobody will hear; None where they will be heard."""
        if self._jobs.cancelled_round(spec.keys) >= number:
            return Ending.CANCELLED
        if spec.deadline_time is not None and self._utc() >= spec.deadline_time:
            return Ending.DEADLINE
        return None

    def _without_plan(self, spec: JobSpec, number: int, ending: Ending | None) -> JobState | None:
        if ending is None:
            return None
        if ending is Ending.CANCELLED:
            return self._write(JobResult(spec, JobState.CANCELLED, number))
        message = "the deadline passed before the audio was planned"
        return self._write(_failed(spec, number, Failure("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", message)))

    def _write(self, result: JobResult) -> JobState:
        """All forms, JSON last: where it is, the others are. The state that stands."""
        keys, number = result.spec.keys, result.round_number
        plain = result.to_plain()
        for form in STORED_FORMS:
            text, media_type = export(plain, form).encode(), MEDIA_TYPES[form]
            self._jobs.objects.put_if_absent(keys.result(number, form), text, content_type=media_type)
        content = to_pretty_bytes(plain)
        if self._jobs.objects.put_if_absent(keys.result(number), content, content_type=JSON_TYPE):
            mark_finished(self._jobs.objects, keys.tenant, keys.job_id)
            return result.state
        written = self._jobs.result_head(keys, number)
        return result.state if written is None else written.state  # none where it was deleted since


def _failed(spec: JobSpec, number: int, failure: Failure) -> JobResult:
    reasons = (f"{failure.reason}: {failure.message}",)
    return JobResult(spec, JobState.FAILED, number, reasons=reasons, failure=failure)
