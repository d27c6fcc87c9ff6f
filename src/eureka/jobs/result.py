"""The result of a job as an object: built window by window, with seams settled, and with its ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eureka.jobs.coverage import is_good, rows_of
from eureka.jobs.outcome import Failure, ModelVersion, WindowOutcome, ended
from eureka.jobs.plan import JobPlan, PlannedSpan
from eureka.jobs.spec import JobSpec
from eureka.jobs.states import JobState
from eureka.pipeline.answers import add_usage
from eureka.pipeline.pieces import Piece, WindowResult, join_neighbours, joined_segments, joined_text
from eureka.types import CoverageRow, Ending, HearingResult, Segment, Task, Usage

TRACK_NAMES = {Task.TRANSCRIBE: "transcript", Task.CAPTION: "caption"}
"""Task -> name of its track; the order of tracks where two segments begin and end together."""


@dataclass(frozen=True, slots=True)
class TrackSegment:
    """A segment and the track that it belongs to."""

    task: Task
    segment: Segment

    @property
    def times(self) -> tuple[float, float]:
        """Start and end, in seconds."""
        return self.segment.start_seconds, self.segment.end_seconds


@dataclass(frozen=True, slots=True)
class JobResult:
    """Everything that was heard, as the store keeps it in result.json.

    Attributes:
        spec: what was asked.
        state: how it ended, or RUNNING while it has not.
        round_number: the highest round that was read.
        plan: of the whole audio; None where it could not be planned.
        texts: of each track.
        segments: of all tracks, in order of time.
        coverage: one row a span.
        rounds: of each row, the one that it was heard in; None where no model heard it.
        usage: of all windows that were read.
        models: who answered, in order of appearance.
        num_attempts: requests that were sent.
        reasons: why the state is not SUCCEEDED.
        failure: why there is no result at all.
        summary: plain object; None where none was asked for.
    """

    spec: JobSpec
    state: JobState
    round_number: int
    plan: JobPlan | None = None
    texts: Mapping[Task, str] = field(default_factory=dict)
    segments: tuple[TrackSegment, ...] = ()
    coverage: tuple[CoverageRow, ...] = ()
    rounds: tuple[int | None, ...] = ()
    usage: Usage = field(default_factory=Usage)
    models: tuple[ModelVersion, ...] = ()
    num_attempts: int = 0
    reasons: tuple[str, ...] = ()
    failure: Failure | None = None
    summary: dict[str, Any] | None = None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tracks of the job; the first gives the result's `text`."""
        return tuple(task for task in TRACK_NAMES if task in self.spec.tasks)

    def to_plain(self) -> dict[str, Any]:
        """The object of result.json: that of the command line, and what belongs to a job."""
        plain: dict[str, Any] = {"name": self.spec.name, "state": self.state.value}
        plain |= {"round": self.round_number, **self._plain_hearing()}
        plain["texts"] = {TRACK_NAMES[task]: self.texts.get(task, "") for task in self.tasks}
        plain["models"] = [model.to_plain() for model in self.models]
        plain["attempts"] = self.num_attempts
        plain["reasons"] = list(self.reasons)
        if self.plan is not None:
            plain |= _plain_plan(self.plan)
        if self.summary is not None:
            plain["summary"] = self.summary
        if self.failure is not None:
            plain["error"] = self.failure.to_plain()
        return plain

    def _plain_hearing(self) -> dict[str, Any]:
        heard = HearingResult(
            path=self.spec.source_name,
            task=self.tasks[0],
            text=self.texts.get(self.tasks[0], ""),
            segments=tuple(timed.segment for timed in self.segments),
            coverage=self.coverage,
            audio_seconds=self.plan.audio_seconds if self.plan else 0.0,
            model=self.models[0].name if self.models else self.spec.model or "",
            usage=self.usage,
        ).to_dict()
        for segment, timed in zip(heard["segments"], self.segments, strict=True):
            segment["track"] = TRACK_NAMES[timed.task]
        for row, number in zip(heard["coverage"], self.rounds, strict=True):
            row["round"] = number
        heard["task"] = ",".join(self.tasks)
        return heard


class ResultGatherer:
    """Takes windows in order and holds their text, never audio.

    Args:
        tasks: tracks of the job.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = [task for task in TRACK_NAMES if task in tasks]
        self._held: WindowResult | None = None
        self._pieces: dict[Task, list[Piece]] = {task: [] for task in self._tasks}
        self._rows: list[CoverageRow] = []
        self._rounds: list[int | None] = []
        self._models: dict[ModelVersion, None] = {}
        self._failures: Counter[str] = Counter()
        self.usage = Usage()
        self.num_attempts = 0

    def add(
        self, window: PlannedSpan, outcome: WindowOutcome | Failure | None, ending: Ending | None = None
    ) -> None:
        """Take the next window.

        Args:
            window: of the plan.
            outcome: its document, or why that cannot be read, if it has one.
            ending: of a window without a document; None leaves it out of the result.
        """
        if isinstance(outcome, WindowOutcome):
            self._note(outcome)
            pieces = {task: outcome.tracks[task].pieces for task in self._tasks}
            self._take(window, pieces, outcome.round_number)
            return
        if outcome is not None:
            self._note_failure(outcome)
            ending = Ending.ERROR
        if ending is not None:
            self._take(window, dict.fromkeys(self._tasks, ended(window, ending).pieces), None)

    def build(
        self, spec: JobSpec, plan: JobPlan, round_number: int, summary: dict[str, Any] | None = None
    ) -> JobResult:
        """The result of the windows so far; its state is that of a job that has ended."""
        state = self._state()
        reasons = tuple(self._reasons(plan))
        if state is JobState.SUCCEEDED and plan.damage:
            state = JobState.PARTIAL
        return JobResult(
            spec=spec,
            state=state,
            round_number=round_number,
            plan=plan,
            texts={task: joined_text(pieces) for task, pieces in self._all_pieces().items()},
            segments=self.segments(),
            coverage=tuple(self._rows),
            rounds=tuple(self._rounds),
            usage=self.usage,
            models=tuple(self._models),
            num_attempts=self.num_attempts,
            reasons=reasons,
            summary=summary,
        )

    def segments(self) -> tuple[TrackSegment, ...]:
        """Segments of all tracks so far, in order of time; of two at one time, the transcript's first."""
        found = (
            TrackSegment(task, segment)
            for task, pieces in self._all_pieces().items()
            for segment in joined_segments(pieces)
        )
        return tuple(sorted(found, key=lambda timed: timed.times))

    def _take(
        self, window: PlannedSpan, pieces: Mapping[Task, tuple[Piece, ...]], round_number: int | None
    ) -> None:
        rows = list(rows_of(pieces))
        self._rows += rows
        self._rounds += [round_number] * len(rows)
        self._hold(WindowResult(window.index, window.owned, pieces, Usage()))

    def _note(self, outcome: WindowOutcome) -> None:
        self.usage = add_usage(self.usage, outcome.usage)
        self._models.setdefault(outcome.model)
        for track in outcome.tracks.values():
            self.num_attempts += track.num_attempts
            if track.failure is not None:
                self._note_failure(track.failure)

    def _note_failure(self, failure: Failure) -> None:
        self._failures[f"{failure.reason}: {failure.message}"] += 1

    def _hold(self, fresh: WindowResult) -> None:
        """Settle the seam with the window before, if it is the neighbour, and let that one go."""
        if self._held is not None:
            held = self._held
            if held.owned.end_sample == fresh.owned.start_sample:
                held, fresh = join_neighbours(held, fresh)
            for task, pieces in held.pieces.items():
                self._pieces[task] += pieces
        self._held = fresh

    def _all_pieces(self) -> dict[Task, list[Piece]]:
        last = self._held.pieces if self._held is not None else {}
        return {task: [*pieces, *last.get(task, ())] for task, pieces in self._pieces.items()}

    def _state(self) -> JobState:
        endings = {row.ending for row in self._rows}
        sounding = endings - {Ending.SILENCE}
        if Ending.CANCELLED in endings:
            return JobState.CANCELLED
        if all(map(is_good, endings)):
            return JobState.SUCCEEDED
        return JobState.FAILED if sounding == {Ending.ERROR} else JobState.PARTIAL

    def _reasons(self, plan: JobPlan) -> Iterator[str]:
        """One sentence a kind of ending that is not good, then the errors behind them, then damage."""
        bad = [row for row in self._rows if not is_good(row.ending)]
        for ending in Ending:
            rows = [row for row in bad if row.ending is ending]
            if rows:
                seconds = sum(row.owned.end_seconds - row.owned.start_seconds for row in rows)
                yield f"{ending.value}: {len(rows)} spans, {seconds:.1f} s"
        yield from (f"{text} ({times} times)" for text, times in self._failures.items())
        if plan.damage:
            yield f"DAMAGED_AUDIO: {plan.damage}"


def _plain_plan(plan: JobPlan) -> dict[str, Any]:
    return {
        "checksums": {"source_sha256": plan.source.sha256, "pcm_sha256": plan.pcm_sha256},
        "max_window_seconds": plan.max_window_seconds,
        "silence_dbfs": plan.silence_dbfs,
    }
