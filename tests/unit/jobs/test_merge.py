from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eureka.audio.plan import plan_windows
from eureka.errors import InvalidInputError
from eureka.jobs.coverage import rows_of, worst
from eureka.jobs.outcome import Failure, ModelVersion, Track, WindowOutcome
from eureka.jobs.plan import JobPlan, PlannedSource, PlannedSpan
from eureka.jobs.result import JobResult, ResultGatherer
from eureka.jobs.spec import JobSpec
from eureka.pipeline.pieces import Piece
from eureka.types import Ending, Segment, SegmentSource, Span, Task, Usage
from tests.helpers.job_rig import job_id

MODEL = ModelVersion("tones", "ab", "exact")
SPEC = JobSpec("tests", job_id(), "a.wav")
ANSWERED = (Ending.STOP, Ending.LENGTH, Ending.REPETITION, Ending.ERROR, Ending.DEADLINE)
GOODNESS = [*ANSWERED[:1], Ending.SILENCE, Ending.LENGTH, Ending.REPETITION, Ending.DEADLINE]
GOODNESS += [Ending.CANCELLED, Ending.ERROR]


def cut(owned: Span, places: Sequence[int], endings: Sequence[Ending], text: str = "") -> tuple[Piece, ...]:
    """Pieces that tile `owned`, cut at those of `places` that lie inside."""
    inner = sorted({p for p in places if owned.start_sample < p < owned.end_sample})
    edges = [owned.start_sample, *inner, owned.end_sample]
    spans = [Span(*edge) for edge in pairwise(edges)]
    return tuple(
        Piece(0, span, span, endings[i % len(endings)], text, _segments(text, span))
        for i, span in enumerate(spans)
    )


def _segments(text: str, span: Span) -> tuple[Segment, ...]:
    if not text:
        return ()
    return (Segment(span.start_seconds, span.end_seconds, text, SegmentSource.WINDOW),)


places = st.lists(st.integers(1, 999), max_size=4)
endings = st.lists(st.sampled_from(ANSWERED), min_size=1, max_size=3)


@given(places, endings, places, endings)
def test_rows_tile_whatever_the_tracks_were_cut_to_and_show_the_worse(
    first: list[int], first_endings: list[Ending], second: list[int], second_endings: list[Ending]
) -> None:
    owned = Span(0, 1_000)
    tracks = {
        Task.TRANSCRIBE: cut(owned, first, first_endings),
        Task.CAPTION: cut(owned, second, second_endings),
    }
    rows = list(rows_of(tracks))
    assert [rows[0].owned.start_sample, *(row.owned.end_sample for row in rows)] == sorted(
        {0, 1_000, *first, *second}
    )
    for sample in range(0, 1_000, 7):
        (row,) = (r for r in rows if r.owned.start_sample <= sample < r.owned.end_sample)
        there = [
            piece.ending
            for track in tracks.values()
            for piece in track
            if piece.owned.start_sample <= sample < piece.owned.end_sample
        ]
        assert row.ending is max(there, key=GOODNESS.index) is worst(there)


def word(index: int) -> str:
    """A word that shares no letter with its neighbours', so that no seam takes them for one."""
    return chr(ord("a") + index % 26) * 6


def planned(pcm: np.ndarray, seconds: float) -> JobPlan:
    spans = tuple(
        PlannedSpan(w.index, w.owned, w.heard, None if w.is_silent else "ff")
        for w in plan_windows([pcm], seconds)
    )
    source = PlannedSource("a", 1, "e", None)
    return JobPlan(1, source, len(pcm), "00", seconds, -70.0, "", spans)


def outcome_of(window: PlannedSpan, ending: Ending, text: str) -> WindowOutcome:
    piece = Piece(window.index, window.owned, window.heard, ending, text, _segments(text, window.owned))
    tracks = {task: Track((piece,), 1) for task in SPEC.tasks}
    return WindowOutcome(1, window.index, tracks, MODEL, Usage(3, 2, {"embed": 0.5}))


loudness = st.lists(st.tuples(st.sampled_from([0.0, 1e-5, 1e-3, 0.1]), st.integers(1, 40_000)), min_size=1)


@settings(max_examples=25, deadline=None)
@given(loudness, st.floats(1.0, 10.0), st.lists(st.sampled_from(ANSWERED), min_size=1), st.data())
def test_merged_ledger_tiles_the_audio_whatever_became_of_its_windows(
    parts: list[tuple[float, int]], seconds: float, ends: list[Ending], data: st.DataObject
) -> None:
    rng = np.random.default_rng(len(parts))
    pcm = np.concatenate([a * rng.standard_normal(n) for a, n in parts]).astype(np.float32)
    plan = planned(pcm, seconds)
    gatherer = ResultGatherer(SPEC.tasks)
    is_missing = data.draw(st.booleans())
    for i, window in enumerate(plan.windows):
        is_here = not window.is_silent and not (is_missing and i % 2)
        outcome = outcome_of(window, ends[i % len(ends)], word(i)) if is_here else None
        gatherer.add(window, outcome, Ending.SILENCE if window.is_silent else Ending.CANCELLED)
    result = gatherer.build(SPEC, plan, 1)

    edges = [row.owned.start_sample for row in result.coverage] + [len(pcm)]
    assert edges[0] == 0 and edges == sorted(set(edges))
    assert [row.owned.end_sample for row in result.coverage] == edges[1:]
    found = {row.ending for row in result.coverage}
    assert (result.state == "SUCCEEDED") == (found <= {Ending.STOP, Ending.SILENCE})
    assert bool(result.reasons) == (result.state != "SUCCEEDED")
    said = [t.segment.text for t in result.segments if t.task is Task.TRANSCRIBE]
    assert said == [word(i) for i, w in enumerate(plan.windows) if _is_said(i, w, is_missing)]
    times = [timed.times for timed in result.segments]
    assert times == sorted(times)
    assert JobPlan.from_bytes(plan.to_bytes()) == plan


def _is_said(index: int, window: PlannedSpan, is_missing: bool) -> bool:
    return not window.is_silent and not (is_missing and index % 2)


@given(st.text(max_size=30), st.sampled_from(ANSWERED), st.floats(0, 1e4), st.integers(0, 99))
def test_outcome_survives_the_store_to_the_last_bit(
    text: str, ending: Ending, start: float, attempts: int
) -> None:
    text = text.encode(errors="replace").decode()
    segment = Segment(start, start + 0.1, text, SegmentSource.MODEL)
    piece = Piece(4, Span(0, 5), Span(0, 9), ending, text, (segment,))
    failure = Failure("INTERNAL", "X", text) if attempts % 2 else None
    outcome = WindowOutcome(
        2, 4, {Task.CAPTION: Track((piece,), attempts, failure)}, MODEL, Usage(1, 2, {"embed": 0.25})
    )
    again = WindowOutcome.from_bytes(outcome.to_bytes())
    assert again == outcome and again.to_bytes() == outcome.to_bytes()
    assert outcome.is_good == (ending is Ending.STOP)


@pytest.mark.parametrize("old", [b'"STOP"', b'"caption"', b'"model":{"name"'])
def test_outcome_with_an_unknown_word_is_refused(old: bytes) -> None:
    window = PlannedSpan(0, Span(0, 5), Span(0, 5), "ff")
    content = outcome_of(window, Ending.STOP, "x").to_bytes()
    assert old in content
    with pytest.raises(InvalidInputError):
        WindowOutcome.from_bytes(content.replace(old, old.replace(b"a", b"e").replace(b"STOP", b"HALT")))


def result(*ends: Ending, damage: str = "") -> JobResult:
    windows = tuple(
        PlannedSpan(i, Span(i * 9, i * 9 + 9), Span(i * 9, i * 9 + 9), "ff") for i in range(len(ends))
    )
    plan = replace(planned(np.ones(9, np.float32), 8.0), windows=windows, damage=damage)
    gatherer = ResultGatherer(SPEC.tasks)
    for window, ending in zip(windows, ends, strict=True):
        gatherer.add(window, outcome_of(window, ending, "x"))
    return gatherer.build(SPEC, plan, 1)


@pytest.mark.parametrize(
    ("ends", "state"),
    [
        ([Ending.STOP, Ending.STOP], "SUCCEEDED"),
        ([Ending.STOP, Ending.LENGTH], "PARTIAL"),
        ([Ending.STOP, Ending.ERROR], "PARTIAL"),
        ([Ending.ERROR, Ending.ERROR], "FAILED"),
        ([Ending.DEADLINE, Ending.ERROR], "PARTIAL"),
        ([Ending.CANCELLED, Ending.STOP], "CANCELLED"),
    ],
)
def test_state_follows_from_the_ledger(ends: list[Ending], state: str) -> None:
    assert result(*ends).state == state


def test_damage_makes_a_good_result_partial_with_its_reason() -> None:
    found = result(Ending.STOP, damage="2 corrupt packets were left out")
    assert found.state == "PARTIAL"
    assert found.reasons == ("DAMAGED_AUDIO: 2 corrupt packets were left out",)


def test_usage_and_attempts_are_sums() -> None:
    found = result(Ending.STOP, Ending.STOP)
    assert found.usage == Usage(6, 4, {"embed": 1.0}) and found.num_attempts == 4
