"""Reading a job across its rounds: of each window, what the highest round that has it says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from eureka.jobs.job_store import JobStore, WindowRef
from eureka.jobs.outcome import Failure, WindowOutcome
from eureka.jobs.plan import JobPlan, PlannedSpan
from eureka.storage.keys import JobKeys

NUM_READERS = 8
"""Threads that read outcomes: enough to hide the answer times of a store, which are milliseconds."""


@dataclass(frozen=True, slots=True)
class RoundState:
    """A planned round, and which of its windows have ended."""

    plan: JobPlan
    ended: frozenset[int]

    @property
    def missing(self) -> tuple[int, ...]:
        """Indices of the windows that still have to be heard, in order."""
        return tuple(window.index for window in self.plan.sounding if window.index not in self.ended)


@dataclass(frozen=True, slots=True)
class JobView:
    """The planned rounds of a job, in order; of the first, windows tile the audio.

    Raises:
        ValueError: there is no planned round.
    """

    keys: JobKeys
    rounds: tuple[RoundState, ...]

    def __post_init__(self) -> None:
        if not self.rounds:
            raise ValueError("a view needs a planned round")

    @property
    def plan(self) -> JobPlan:
        """The plan of the whole audio."""
        return self.rounds[0].plan

    @property
    def latest(self) -> RoundState:
        """The highest round."""
        return self.rounds[-1]

    @property
    def windows(self) -> tuple[PlannedSpan, ...]:
        """All windows of the audio, in order."""
        return self.plan.windows

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to be heard in the highest round."""
        return not self.latest.missing

    def best_rounds(self) -> dict[int, int]:
        """Index of each window that has ended -> the highest round that has it."""
        return {index: state.plan.round_number for state in self.rounds for index in state.ended}

    def ended_now(self) -> frozenset[int]:
        """Windows that need no more work: not those that the highest round is still to hear again."""
        return frozenset(self.best_rounds()) - set(self.latest.missing)


def view_of(jobs: JobStore, keys: JobKeys) -> JobView | None:
    """What is planned and ended now; None before the first plan."""
    rounds = tuple(_rounds(jobs, keys, jobs.rounds(keys)))
    return JobView(keys, rounds) if rounds else None


def outcomes(jobs: JobStore, view: JobView) -> Iterator[tuple[PlannedSpan, WindowOutcome | Failure | None]]:
    """All windows in order; None for silence and for what has not ended, a failure for what cannot be read.

    A few are read ahead, since a store far away answers one at a time slowly; no more are in memory.
    """
    best = view.best_rounds()

    def read(window: PlannedSpan) -> WindowOutcome | Failure | None:
        number = best.get(window.index)
        return jobs.readable_outcome(WindowRef(view.keys, number, window.index)) if number else None

    with ThreadPoolExecutor(NUM_READERS) as readers:
        ahead: deque[tuple[PlannedSpan, Future[WindowOutcome | Failure | None]]] = deque()
        for window in view.windows:
            ahead.append((window, readers.submit(read, window)))
            if len(ahead) > 2 * NUM_READERS:
                done = ahead.popleft()
                yield done[0], done[1].result()
        for window, found in ahead:
            yield window, found.result()


def _rounds(jobs: JobStore, keys: JobKeys, numbers: Sequence[int]) -> Iterator[RoundState]:
    for number in numbers:
        plan = jobs.plan(keys, number)
        if plan is not None:
            yield RoundState(plan, jobs.ended_windows(keys, number))
