"""Asking for another round: only the windows that failed are heard again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from eureka.errors import WrongStateError
from eureka.jobs.documents import JSON_TYPE, to_bytes
from eureka.jobs.job_store import MARK_VERSION, JobStore
from eureka.jobs.outcome import Failure, WindowOutcome
from eureka.jobs.plan import PlannedSpan
from eureka.jobs.reading import JobView, outcomes, view_of
from eureka.jobs.states import state_of
from eureka.storage.keys import JobKeys
from eureka.types import Ending

_USED_UP = (Ending.LENGTH, Ending.REPETITION)
"""Endings that the same seeds would only give again."""


def retry_job(jobs: JobStore, keys: JobKeys) -> int:
    """Write the next round's plan with the windows that failed; the number of that round.

    A window fails unless all its tracks ended STOP. Rounds before stay as they are. Where the audio could not
    be planned at all, the new round is only marked, and planned by whoever finds it.

    Raises:
        NotFoundError: there is no such job.
        WrongStateError: the job has not ended (JOB_NOT_ENDED), or nothing failed (NOTHING_TO_RETRY).
    """
    jobs.spec(keys)
    number = _ended_round(jobs, keys) + 1
    view = view_of(jobs, keys)
    if view is None:
        mark = to_bytes({"version": MARK_VERSION, "round": number})
        jobs.objects.put_if_absent(retry_key(keys, number), mark, content_type=JSON_TYPE)
        return number
    failed = tuple(_failed(jobs, view))
    if not failed:
        raise WrongStateError(f"no window of job {keys.job_id} failed", reason="NOTHING_TO_RETRY")
    jobs.put_plan(keys, replace(view.plan, round_number=number, windows=failed))
    return number


def retry_key(keys: JobKeys, round_number: int) -> str:
    """Marks a round that somebody asked for and nobody has planned yet."""
    return f"{keys.round_folder(round_number)}retry.json"


def _ended_round(jobs: JobStore, keys: JobKeys) -> int:
    """The latest round, which has a result."""
    facts = jobs.facts(keys)
    if facts.latest is None or facts.latest.result is None:
        message = f"job {keys.job_id} is {state_of(facts)} and has no result; wait for it, then try again"
        raise WrongStateError(message, reason="JOB_NOT_ENDED")
    return facts.latest.number


def _failed(jobs: JobStore, view: JobView) -> Iterator[PlannedSpan]:
    """The windows to hear again, as their latest plan has them."""
    latest = {window.index: window for state in view.rounds for window in state.plan.windows}
    for window, outcome in outcomes(jobs, view):
        is_good = isinstance(outcome, WindowOutcome) and outcome.is_good
        if not window.is_silent and not is_good:
            planned = latest[window.index]
            yield replace(planned, first_retry=planned.first_retry + _num_used(outcome))


def _num_used(outcome: WindowOutcome | Failure | None) -> int:
    """Attempts whose seeds are used up: none where the model was not to blame."""
    if not isinstance(outcome, WindowOutcome):
        return 0
    tracks = outcome.tracks.values()
    is_model = any(piece.ending in _USED_UP for track in tracks for piece in track.pieces)
    return max(track.num_attempts for track in tracks) if is_model else 0
