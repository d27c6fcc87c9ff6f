"""Phrases of an answer to segments: where in the file each phrase belongs.

Time marks give segments whose source is the model; an answer without them gives one segment for its
window. Nothing here invents times inside a window. Needs no tokenizer: phrases come from the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eureka.types import Phrase, Segment, SegmentSource, Span

PHRASE_SEPARATOR = ", "
"""Stands between phrases that time tokens part."""

SHORTEST_SEGMENT_SECONDS = 0.1
"""Length given to a segment whose two times coincide, so that subtitles can show it."""


@dataclass(frozen=True, slots=True)
class TimedText:
    """Text of one answer and its segments, in the order of the answer."""

    text: str
    segments: tuple[Segment, ...]


def segments_of(phrases: Sequence[Phrase], window: Span) -> TimedText:
    """Text and segments of one answer about `window`.

    "dog bark" marked 0.4 and 1.2 becomes a segment from 0.4 to 1.2 s after the window's start. A missing
    mark is the window's edge; times in the wrong order are swapped; all are clipped to the window.

    Args:
        phrases: of the answer, marks relative to the window's start.
        window: place of the window in the file.
    """
    text = PHRASE_SEPARATOR.join(phrase.text for phrase in phrases)
    if are_timed(phrases):
        return TimedText(text, tuple(_model_segment(phrase, window) for phrase in phrases))
    return TimedText(text, window_segments(text, window))


def are_timed(phrases: Sequence[Phrase]) -> bool:
    """Whether the model gave times to any of the phrases."""
    return any(phrase.start_seconds is not None or phrase.end_seconds is not None for phrase in phrases)


def window_segments(text: str, window: Span) -> tuple[Segment, ...]:
    """One segment for the whole window, or none where nothing is said."""
    if not text:
        return ()
    return (Segment(window.start_seconds, window.end_seconds, text, SegmentSource.WINDOW),)


def _model_segment(phrase: Phrase, window: Span) -> Segment:
    longest = window.end_seconds - window.start_seconds
    start = 0.0 if phrase.start_seconds is None else phrase.start_seconds
    end = longest if phrase.end_seconds is None else phrase.end_seconds
    start, end = sorted((min(start, longest), min(end, longest)))
    if end - start < SHORTEST_SEGMENT_SECONDS:
        end = min(start + SHORTEST_SEGMENT_SECONDS, longest)
        start = max(0.0, end - SHORTEST_SEGMENT_SECONDS)
    offset = window.start_seconds
    return Segment(offset + start, offset + end, phrase.text, SegmentSource.MODEL)
