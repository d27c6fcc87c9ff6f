from dataclasses import replace

import pytest

from eureka.jobs.plan import JobPlan, PlannedSource, PlannedSpan
from eureka.jobs.reading import JobView, RoundState
from eureka.jobs.states import JobFacts, JobState, ResultHead, RoundFacts, state_of
from eureka.jobs.sweep import MAX_CLAIMS, Claimed, Due, due
from eureka.storage.keys import JobKeys
from eureka.types import Span
from tests.helpers.job_rig import job_id

KEYS = JobKeys("tests", job_id())
SPANS = [Span(second * 16_000, (second + 1) * 16_000) for second in range(4)]
PLAN = JobPlan(
    1,
    PlannedSource("a", 1, "e", None),
    64_000,
    "00",
    8.0,
    -70.0,
    "",
    tuple(PlannedSpan(i, span, span, None if i == 2 else "ff") for i, span in enumerate(SPANS)),
)
IDLE = Claimed(is_live=False, num_claims=0)
FRESH = JobFacts(has_spec=True, is_deleted=False, cancelled_round=0, latest=None)
RUNNING = replace(FRESH, latest=RoundFacts(1, True, None))


def view(*ended: int) -> JobView:
    return JobView(KEYS, (RoundState(PLAN, frozenset(ended)),))


def test_due_nothing_but_a_spec_is_planned() -> None:
    assert due(FRESH, None, lambda index: IDLE) == Due(1, plan=True)


def test_due_windows_without_result_or_claim_are_run() -> None:
    claims = {0: IDLE, 1: Claimed(True, 1), 3: Claimed(False, MAX_CLAIMS)}
    assert due(RUNNING, view(), claims.__getitem__) == Due(1, windows=(0,), give_up=(3,))
    assert due(RUNNING, view(0), claims.__getitem__) == Due(1, give_up=(3,))


def test_due_what_is_complete_is_merged() -> None:
    assert due(RUNNING, view(0, 1, 3), lambda index: IDLE) == Due(1, merge=True)


@pytest.mark.parametrize("is_late", [True, False])
def test_due_cancelled_or_late_is_merged(is_late: bool) -> None:
    facts = RUNNING if is_late else replace(RUNNING, cancelled_round=1)
    assert due(facts, view(), lambda index: IDLE, is_late=is_late) == Due(1, merge=True)


def test_due_retry_after_cancelling_goes_on() -> None:
    facts = replace(RUNNING, cancelled_round=1, latest=RoundFacts(2, True, None))
    again = RoundState(replace(PLAN, round_number=2, windows=PLAN.windows[3:]), frozenset())
    both = JobView(KEYS, (*view(0, 1, 3).rounds, again))
    assert due(facts, both, lambda index: IDLE) == Due(2, windows=(3,))


def test_due_ended_is_nothing_and_deleted_is_deleted() -> None:
    ended = replace(RUNNING, latest=RoundFacts(1, True, ResultHead(JobState.SUCCEEDED)))
    assert due(ended, view(0, 1, 3), lambda index: IDLE).is_nothing
    assert due(replace(ended, is_deleted=True), None, lambda index: IDLE).delete
    assert due(replace(ended, has_spec=False), None, lambda index: IDLE).delete  # a late writer's
    assert due(replace(FRESH, has_spec=False), None, lambda index: IDLE).is_nothing  # audio on its way


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (replace(FRESH, has_spec=False), None),
        (replace(RUNNING, is_deleted=True), None),
        (FRESH, "PENDING"),
        (replace(FRESH, latest=RoundFacts(2, False, None)), "PENDING"),
        (RUNNING, "RUNNING"),
        (replace(FRESH, cancelled_round=1), "CANCELLED"),
        (replace(RUNNING, cancelled_round=1), "CANCELLED"),
        (replace(RUNNING, cancelled_round=1, latest=RoundFacts(2, True, None)), "RUNNING"),
        (replace(RUNNING, latest=RoundFacts(1, True, ResultHead(JobState.PARTIAL))), "PARTIAL"),
    ],
)
def test_state_follows_from_what_lies_in_the_store(facts: JobFacts, state: str | None) -> None:
    assert state_of(facts) == state
