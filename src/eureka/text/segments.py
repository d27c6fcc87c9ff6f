"""Answers of the model to text with segments: where in the file each phrase belongs.

Time tokens give segments whose source is the model; an answer without them gives one segment for
its window. Nothing here invents times inside a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eureka.text.detokenizer import PHRASE_SEPARATOR
from eureka.text.tokenizer import Tokenizer
from eureka.types import Segment, SegmentSource, Span

SHORTEST_SEGMENT_SECONDS = 0.1
"""Length given to a segment whose two times coincide, so that subtitles can show it."""


@dataclass(frozen=True, slots=True)
class TimedText:
    """Text of one answer and its segments, in the order of the answer."""

    text: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A phrase with the marks around it, in seconds from the window's start."""

    text: str
    before: tuple[float, ...]
    after: tuple[float, ...]


def parse_segments(answer: Sequence[int] | str, tokenizer: Tokenizer, window: Span) -> TimedText:
    """Text and segments of one answer about `window`.

    `<|0.4|>dog bark<|1.2|>` becomes a segment from 0.4 to 1.2 s after the window's start. One mark
    between two phrases ends the first and starts the second; a missing first or last mark is the
    window's edge; times in the wrong order are swapped; all are clipped to the window.

    Args:
        answer: generated ids, or the same written out with `<|0.4|>` marks.
        tokenizer: knows which ids are time tokens.
        window: place of the window in the file.
    """
    ids = tokenizer.encode(answer) if isinstance(answer, str) else answer
    phrases = list(_phrases(ids, tokenizer))
    text = PHRASE_SEPARATOR.join(phrase.text for phrase in phrases)
    if any(phrase.before or phrase.after for phrase in phrases):
        return TimedText(text, tuple(_model_segment(phrase, window) for phrase in phrases))
    return TimedText(text, window_segments(text, window))


def window_segments(text: str, window: Span) -> tuple[Segment, ...]:
    """One segment for the whole window, or none where nothing is said."""
    if not text:
        return ()
    return (Segment(window.start_seconds, window.end_seconds, text, SegmentSource.WINDOW),)


def _phrases(ids: Sequence[int], tokenizer: Tokenizer) -> Iterator[_Phrase]:
    """Phrases that hold text, each with all marks between it and its neighbours."""
    marks: tuple[float, ...] = ()
    before: tuple[float, ...] = ()
    text = ""
    run: list[int] = []
    for token_id in [*ids, None]:
        seconds = None if token_id is None else tokenizer.time_token_seconds(token_id)
        if token_id is not None and seconds is None:
            run.append(token_id)
            continue
        if phrase := tokenizer.decode(run).strip():
            if text:
                yield _Phrase(text, before, marks)
            text, before, marks = phrase, marks, ()
        run = []
        if seconds is not None:
            marks += (seconds,)
    if text:
        yield _Phrase(text, before, marks)


def _model_segment(phrase: _Phrase, window: Span) -> Segment:
    longest = window.end_seconds - window.start_seconds
    start = phrase.before[-1] if phrase.before else 0.0
    end = phrase.after[0] if phrase.after else longest
    start, end = sorted((min(start, longest), min(end, longest)))
    if end - start < SHORTEST_SEGMENT_SECONDS:
        end = min(start + SHORTEST_SEGMENT_SECONDS, longest)
        start = max(0.0, end - SHORTEST_SEGMENT_SECONDS)
    offset = window.start_seconds
    return Segment(offset + start, offset + end, phrase.text, SegmentSource.MODEL)
