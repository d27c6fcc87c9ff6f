"""What is left to do for a job, from what lies in the store and who is at it; the scheduler does it.

Nothing else remembers work: whatever queues lost, the next sweep finds again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eureka.jobs.reading import JobView
from eureka.jobs.states import JobFacts

MAX_CLAIMS = 5
"""Workers that may end without a word at one window before it is given up as ERROR."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the record of claims says of one window: somebody is at it; how many were."""

    is_live: bool
    num_claims: int


@dataclass(frozen=True, slots=True)
class Due:
    """What to do for one job; all of it may be done twice.

    Attributes:
        round_number: the round that windows and plan belong to.
        delete: finish deleting it; nothing else is due then.
        plan: plan the round.
        windows: run these.
        give_up: these have ended too many workers.
        merge: write the result.
    """

    round_number: int
    delete: bool = False
    plan: bool = False
    windows: tuple[int, ...] = ()
    give_up: tuple[int, ...] = ()
    merge: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is due."""
        return not (self.delete or self.plan or self.windows or self.give_up or self.merge)


def due(
    facts: JobFacts, view: JobView | None, claimed: Callable[[int], Claimed], *, is_late: bool = False
) -> Due:
    """What is due; a folder without spec is left of a deletion if it has rounds, else an upload goes on.

    Args:
        facts: of the job.
        view: its rounds; None before the first plan.
        claimed: what is known of the claim on a window of the highest round.
        is_late: its deadline has passed.
    """
    number = facts.latest.number if facts.latest else 1
    if facts.is_deleted or not facts.has_spec:
        return Due(number, delete=facts.is_deleted or facts.latest is not None)
    if facts.latest is not None and facts.latest.result is not None:
        return Due(number)
    if facts.cancelled_round >= number or is_late:
        return Due(number, merge=True)
    if view is None or view.latest.plan.round_number < number:
        return Due(number, plan=True)
    if view.is_complete:
        return Due(number, merge=True)
    return _windows_due(number, view, claimed)


def _windows_due(number: int, view: JobView, claimed: Callable[[int], Claimed]) -> Due:
    idle = {index: claim for index in view.latest.missing if not (claim := claimed(index)).is_live}
    give_up = tuple(index for index, claim in idle.items() if claim.num_claims >= MAX_CLAIMS)
    windows = tuple(index for index in idle if index not in give_up)
    return Due(number, windows=windows, give_up=give_up)
