"""Pieces: what was heard in one stretch of a window, by one task; and how neighbours are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eureka.pipeline.stitching import stitch_words
from eureka.text.segments import PHRASE_SEPARATOR, segments_of, window_segments
from eureka.types import (
    SAMPLE_RATE_HZ,
    CoverageRow,
    Ending,
    Phrase,
    Segment,
    SegmentSource,
    Span,
    Task,
    Usage,
)

NOTHING_HEARD = "silence"
"""Caption of a window in which the model hears nothing; it makes no segment."""

_TOUCH_SECONDS = 0.3
"""Gap under which an event that ends at a seam and one that starts there are the same event."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One row of the ledger with what was heard in it; usually a whole window, sometimes a part."""

    window: int
    owned: Span
    heard: Span
    ending: Ending
    text: str = ""
    segments: tuple[Segment, ...] = ()

    @property
    def row(self) -> CoverageRow:
        """The piece's row in the coverage ledger."""
        return CoverageRow(self.window, self.owned, self.heard, self.ending)

    @property
    def is_timed(self) -> bool:
        """Whether the model itself gave the times."""
        return any(segment.source is SegmentSource.MODEL for segment in self.segments)


@dataclass(frozen=True, slots=True)
class WindowResult:
    """Everything about one window, as soon as it and its seam with the next are settled.

    Attributes:
        window: index of the window.
        owned: the part of the file that it answers for.
        pieces: for each task its pieces in order of time; their owned spans tile `owned`.
        usage: what the window cost, all tasks and retries together.
    """

    window: int
    owned: Span
    pieces: Mapping[Task, tuple[Piece, ...]]
    usage: Usage


def piece_of(place: CoverageRow, phrases: Sequence[Phrase], task: Task) -> Piece:
    """The piece of one answer; timed events are cut to the owned span, so that each has one owner."""
    owned = place.owned
    timed = segments_of(phrases, place.heard)
    piece = Piece(place.window, owned, place.heard, place.ending, timed.text, timed.segments)
    if not piece.is_timed:
        is_empty = task is Task.CAPTION and timed.text == NOTHING_HEARD
        return replace(piece, segments=() if is_empty else window_segments(timed.text, owned))
    kept = tuple(cut for segment in timed.segments if (cut := _cut(segment, owned)) is not None)
    text = timed.text if len(kept) == len(timed.segments) else PHRASE_SEPARATOR.join(s.text for s in kept)
    return replace(piece, text=text, segments=kept)


def join_neighbours(earlier: WindowResult, later: WindowResult) -> tuple[WindowResult, WindowResult]:
    """Both windows with words that both heard said once."""
    left, right = dict(earlier.pieces), dict(later.pieces)
    for task in left:
        before, after = left[task][-1], right[task][0]
        if task is not Task.TRANSCRIBE or before.heard.end_sample <= after.heard.start_sample:
            continue
        before, after = _join_words(before, after)
        left[task], right[task] = (*left[task][:-1], before), (after, *right[task][1:])
    return replace(earlier, pieces=left), replace(later, pieces=right)


def joined_text(pieces: Sequence[Piece]) -> str:
    """Text of pieces in order: timed events with commas, anything else as running text.

    Windows in which nothing is heard are mentioned only where no other says anything.
    """
    segments = joined_segments(pieces)
    if not segments:
        return next((piece.text for piece in pieces if piece.text), "")
    separator = PHRASE_SEPARATOR if any(piece.is_timed for piece in pieces) else " "
    return separator.join(segment.text for segment in segments)


def joined_segments(pieces: Sequence[Piece]) -> tuple[Segment, ...]:
    """Segments of pieces in order; an event that goes on over a seam is one segment."""
    joined: list[Segment] = []
    for piece in pieces:
        fresh = list(piece.segments)
        if piece.is_timed:
            fresh = _continue_events(joined, fresh, piece.owned.start_seconds)
        joined += fresh
    return tuple(joined)


def _cut(segment: Segment, owned: Span) -> Segment | None:
    start = max(segment.start_seconds, owned.start_seconds)
    end = min(segment.end_seconds, owned.end_seconds)
    return replace(segment, start_seconds=start, end_seconds=end) if start < end else None


def _join_words(before: Piece, after: Piece) -> tuple[Piece, Piece]:
    if before.is_timed or after.is_timed:
        return before, after
    overlap = (before.heard.end_sample - after.heard.start_sample) / SAMPLE_RATE_HZ
    texts = stitch_words(before.text, after.text, overlap)
    left, right = (
        replace(piece, text=text, segments=window_segments(text, piece.owned))
        for piece, text in zip((before, after), texts, strict=True)
    )
    return left, right


def _continue_events(joined: list[Segment], fresh: list[Segment], seam: float) -> list[Segment]:
    """Lengthen events of `joined` that `fresh` goes on with at the seam; the rest of `fresh`."""
    rest = []
    for segment in fresh:
        place = _event_at_seam(joined, segment, seam)
        if place is None:
            rest.append(segment)
        else:
            end = max(joined[place].end_seconds, segment.end_seconds)
            joined[place] = replace(joined[place], end_seconds=end)
    return rest


def _event_at_seam(joined: list[Segment], segment: Segment, seam: float) -> int | None:
    if segment.source is not SegmentSource.MODEL or segment.start_seconds - seam > _TOUCH_SECONDS:
        return None
    for place in range(len(joined) - 1, max(-1, len(joined) - 9), -1):
        known = joined[place]
        if known.text == segment.text and seam - known.end_seconds <= _TOUCH_SECONDS:
            return place
    return None
