"""What the tasks do: each loads what the store says, and has no effect where its work is done already.

A step never raises: what may pass is left to the next sweep, what may not is written into the job.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable

from eureka.clients.metadata import trace_id_of
from eureka.clients.webhook import WebhookConfig, send_webhook
from eureka.errors import EurekaError, NotFoundError, QueueFullError, StageUnavailableError
from eureka.jobs.coverage import worst
from eureka.jobs.deletion import delete_job
from eureka.jobs.job_store import WindowRef
from eureka.jobs.merge import Merger
from eureka.jobs.outcome import WindowOutcome
from eureka.jobs.planning import Planner, PlanSettings
from eureka.jobs.runner import RunEnd, WindowRunner
from eureka.jobs.states import JobState, state_of
from eureka.jobs.summary import Summarizer
from eureka.jobs.sweep import MAX_CLAIMS
from eureka.runtime.job_metrics import JobMetrics
from eureka.runtime.metrics import Metrics
from eureka.storage.keys import JobKeys, created_time
from eureka.types import SAMPLE_RATE_HZ, Priority
from workers.advance import advance
from workers.events import WebhookState, delivery_key, event_of, read_delivery, write_delivery
from workers.parts import WorkerParts
from workers.stop_watch import StopWatch

logger = logging.getLogger(f"eureka.{__name__}")

LISTED_WINDOWS = 200
"""Jobs of so many windows are looked at after each; longer ones when few messages wait, or by sweeps."""

LOOK_SECONDS = 10.0
"""The longest look at a long job; then another worker may look."""

AWAY_SECONDS = 2.0
"""Until something is tried again for which a part was away."""

LONGEST_PAUSE_SECONDS = 60.0
"""Between two attempts at what failed."""

_DIED = "so many workers ended without a word at it that it is not tried again"


class Steps:
    """The tasks of one worker.

    Args:
        parts: what they share.
        metrics: counts them.
        job_metrics: counts windows and jobs that end.
        pause_seconds: how long a thread rests that found a part away, so that it does not ask all the time.
    """

    def __init__(
        self, parts: WorkerParts, metrics: Metrics, job_metrics: JobMetrics, pause_seconds: float = 1.0
    ) -> None:
        self._parts = parts
        self._metrics = metrics
        self._job_metrics = job_metrics
        self._pause_seconds = pause_seconds
        self._stop_watch = StopWatch(parts.jobs)

    def plan(self, keys: JobKeys) -> None:
        """Plan the highest round, and queue its first windows."""
        self._run("plan", keys, lambda: keys.plan(self._number(keys)), lambda: self._plan(keys))

    def window(self, ref: WindowRef) -> None:
        """Hear one window."""
        self._run("window", ref.keys, lambda: ref.key, lambda: self._window(ref))

    def finish(self, keys: JobKeys) -> None:
        """Write the result of the highest round, or delete what is marked."""
        self._parts.marks.clear(keys.delete)
        self._run("finish", keys, lambda: keys.result(self._number(keys)), lambda: self._finish(keys))

    def webhook(self, keys: JobKeys, round_number: int) -> None:
        """Tell the job's webhook of the end of a round."""
        name = delivery_key(keys, round_number)
        step = functools.partial(self._webhook, keys, round_number)
        self._run("webhook", keys, lambda: name, lambda: self._claimed(name, step))

    def _run(self, task: str, keys: JobKeys, name: Callable[[], str], step: Callable[[], str]) -> None:
        """One step with its mark, its metrics and its line in the log."""
        started = time.monotonic()
        with self._metrics.running(), self._parts.traces.task(task, keys) as span:
            end = self._ended(task, keys, name, step)
            span.set(end=end)
        seconds = round(time.monotonic() - started, 3)
        self._metrics.record_call(task, end, seconds)
        extra = {"task": task, "job_id": keys.job_id, "end": end, "duration_seconds": seconds}
        logger.info("task_ended", extra=extra | {"trace_id": trace_id_of(span.traceparent)})

    def _ended(self, task: str, keys: JobKeys, name: Callable[[], str], step: Callable[[], str]) -> str:
        mark = ""
        try:
            mark = name()
            self._parts.marks.clear(mark)
            return step()
        except NotFoundError as error:
            return error.reason  # the job is gone, or was never there
        except EurekaError as error:
            extra = {"task": task, "job_id": keys.job_id, "reason": error.reason}
            logger.warning("task_failed", extra=extra)
            end = error.reason
            self._parts.stopping.wait(self._pause_seconds)
        except Exception:
            logger.exception("task_broken", extra={"task": task, "job_id": keys.job_id})
            end = "INTERNAL"
        self._parts.marks.mark(mark, AWAY_SECONDS)
        return end

    # -- plan --------------------------------------------------------------------------------------

    def _plan(self, keys: JobKeys) -> str:
        number = self._number(keys)
        name = keys.plan(number)
        if self._parts.claims.num_claims(name) >= MAX_CLAIMS:
            error = StageUnavailableError(_DIED, reason="WORKERS_LOST")
            return self._failed_job(keys, error)
        end = self._claimed(name, lambda: self._planned(keys, number))
        advance(self._parts, keys)
        return end

    def _planned(self, keys: JobKeys, number: int) -> str:
        parts, deadline = self._parts, time.monotonic() + self._parts.settings.plan_seconds
        self._parts.fetcher().close()  # a thread holds one decoding child at most

        def is_stopped() -> bool:
            is_over = parts.stopping.is_set() or time.monotonic() > deadline
            return is_over or parts.jobs.is_stopped(keys, number)

        planner = Planner(parts.jobs, parts.opener, PlanSettings(parts.stages.card(), parts.silence_dbfs))
        try:
            plan = planner.plan(keys, number, is_stopped)
        except EurekaError as error:
            if error.is_retryable or (isinstance(error, NotFoundError) and error.reason == "JOB_NOT_FOUND"):
                raise
            return self._failed_job(keys, error)
        return "PLANNED" if plan is not None else "STOPPED"

    # -- window ------------------------------------------------------------------------------------

    def _window(self, ref: WindowRef) -> str:
        parts = self._parts
        spec = parts.jobs.spec(ref.keys)
        seconds, name = parts.settings.window_seconds, f"{ref.keys.job_id}/{ref.round_number}/{ref.index}"
        trace = parts.traces.of_task()
        with parts.stages.call(spec.tenant, seconds, spec.lane.priority, name, trace) as call:
            model = parts.stages.model(call)
            runner = WindowRunner(
                parts.jobs, parts.fetcher(), model, parts.clocks, parts.claims, self._count_window
            )
            with self._stop_watch.watching(ref, call):
                end = self._heard(runner, ref)
        if end == RunEnd.WRITTEN:
            self._count_audio(ref)
            self._go_on(ref)
        return end

    def _heard(self, runner: WindowRunner, ref: WindowRef) -> str:
        if self._parts.claims.num_claims(ref.key) >= MAX_CLAIMS and not self._parts.claims.is_live(ref.key):
            return runner.give_up(ref, StageUnavailableError(_DIED, reason="WORKERS_LOST"))
        try:
            return runner.run(ref)
        except EurekaError as error:
            if not error.is_retryable:
                raise
            return self._failed(runner, ref, error)

    def _failed(self, runner: WindowRunner, ref: WindowRef, error: EurekaError) -> str:
        """Only failures while all parts are there count; after too many the window ends ERROR."""
        logger.info("window_failed", extra={"job_id": ref.keys.job_id, "reason": error.reason})
        if isinstance(error, QueueFullError) or self._is_away(ref):
            self._parts.marks.mark(ref.key, AWAY_SECONDS)
            self._parts.stopping.wait(self._pause_seconds)
            return error.reason
        number = self._parts.marks.count(ref.key)
        if number >= self._parts.settings.max_failures:
            return runner.give_up(ref, error)
        self._parts.marks.mark(ref.key, min(2.0**number, LONGEST_PAUSE_SECONDS))
        return error.reason

    def _is_away(self, ref: WindowRef) -> bool:
        if self._parts.stopping.is_set():
            return True
        try:
            self._parts.jobs.objects.exists(ref.key)
        except EurekaError:
            return True
        return not self._parts.stages.is_serving()

    def _count_window(self, outcome: WindowOutcome) -> None:
        self._job_metrics.record_window(worst(outcome.endings).value)

    def _count_audio(self, ref: WindowRef) -> None:
        plan = self._parts.jobs.plan(ref.keys, ref.round_number)
        window = plan.window(ref.index) if plan else None
        if window is not None:
            self._metrics.record_usage(audio_seconds=window.owned.num_samples / SAMPLE_RATE_HZ)

    def _go_on(self, ref: WindowRef) -> None:
        """The next windows or the end, at once where that is cheap or needed; else the sweeper finds them."""
        plan = self._parts.jobs.plan(ref.keys, ref.round_number)
        if plan is None:
            return
        if len(plan.windows) <= LISTED_WINDOWS:
            advance(self._parts, ref.keys)
        elif self._runs_dry(ref):
            self._fill(ref)

    def _runs_dry(self, ref: WindowRef) -> bool:
        """Whether workers will soon find nothing in the lane of a job."""
        waiting = self._parts.marks.num_waiting(self._parts.jobs.spec(ref.keys).lane.value)
        return waiting <= self._parts.settings.max_queued_windows // 2

    def _fill(self, ref: WindowRef) -> None:
        """Look for the next windows of a long job, unless somebody does."""
        name = ref.keys.windows_folder(ref.round_number)
        if self._parts.marks.marked([name]):
            return
        self._parts.marks.mark(name, LOOK_SECONDS)
        try:
            advance(self._parts, ref.keys)
        finally:
            self._parts.marks.clear(name)

    # -- finish ------------------------------------------------------------------------------------

    def _finish(self, keys: JobKeys) -> str:
        parts = self._parts
        if state_of(parts.jobs.facts(keys)) is None:
            delete_job(parts.jobs.objects, keys)
            return "DELETED"
        return self._claimed(keys.result(self._number(keys)), lambda: self._merged(keys))

    def _merged(self, keys: JobKeys) -> str:
        number = self._number(keys)
        was_ended = self._parts.jobs.result_head(keys, number) is not None
        state = self._merged_state(keys)
        if state is None:
            return "NOT_YET"
        if not was_ended:
            self._count_job(keys, number, state)
        advance(self._parts, keys)  # its webhook
        return state

    def _merged_state(self, keys: JobKeys) -> JobState | None:
        parts, spec = self._parts, self._parts.jobs.spec(keys)
        if not spec.has_summary:
            return self._merger().merge(keys)
        seconds, trace = parts.settings.window_seconds, parts.traces.of_task()
        name = f"{keys.job_id}/summary"
        with parts.stages.call(spec.tenant, seconds, Priority.BULK, name, trace) as call:
            summarizer = Summarizer(parts.stages.model(call).decoder, parts.clocks.usage)
            return Merger(parts.jobs, parts.clocks.utc, summarizer).merge(keys)

    def _failed_job(self, keys: JobKeys, error: EurekaError) -> JobState:
        state = self._merger().fail(keys, error)
        self._count_job(keys, self._number(keys), state)
        return state

    def _count_job(self, keys: JobKeys, number: int, state: JobState) -> None:
        """Rounds after the first began when somebody asked for them, which nobody wrote down."""
        lane = self._parts.jobs.spec(keys).lane.value
        age = self._parts.clocks.utc() - created_time(keys.job_id)
        self._job_metrics.record_job(state.value, lane, age.total_seconds() if number == 1 else None)

    def _merger(self) -> Merger:
        return Merger(self._parts.jobs, self._parts.clocks.utc)

    # -- webhook -----------------------------------------------------------------------------------

    def _webhook(self, keys: JobKeys, number: int) -> str:
        parts, objects = self._parts, self._parts.jobs.objects
        url, delivery = parts.jobs.spec(keys).webhook, read_delivery(objects, keys, number)
        event = event_of(parts.jobs, keys, number)
        if url is None or event is None or delivery.state is not WebhookState.PENDING:
            return "NOTHING"
        now = parts.clocks.utc()
        try:
            send_webhook(url, event, int(now.timestamp()), self._webhook_config())
        except EurekaError as error:
            after = delivery.failed(now, parts.settings.webhook_attempts if error.is_retryable else 1)
            write_delivery(objects, keys, number, after)
            return error.reason
        write_delivery(objects, keys, number, delivery.delivered())
        return "DELIVERED"

    def _webhook_config(self) -> WebhookConfig:
        settings = self._parts.settings
        secret = settings.webhook_secret.get_secret_value().encode()
        return WebhookConfig(secret, settings.webhook_seconds, settings.private_webhooks)

    def _number(self, keys: JobKeys) -> int:
        """The highest round."""
        return max(self._parts.jobs.rounds(keys), default=1)

    def _claimed(self, name: str, step: Callable[[], str]) -> str:
        """The step, unless another worker is at it."""
        claim = self._parts.claims.claim(name)
        if claim is None:
            return RunEnd.BUSY
        try:
            return step()
        finally:
            claim.release()
