"""The coverage ledger of a job: one row a span for all tracks, tiling the audio to the sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from eureka.pipeline.pieces import Piece
from eureka.types import CoverageRow, Ending, Span, Task

_FROM_GOOD_TO_BAD = (
    Ending.STOP,
    Ending.SILENCE,
    Ending.LENGTH,
    Ending.REPETITION,
    Ending.DEADLINE,
    Ending.CANCELLED,
    Ending.ERROR,
)
"""A span ends as the worst of its tracks did."""


def rows_of(pieces: Mapping[Task, Sequence[Piece]]) -> Iterator[CoverageRow]:
    """Rows of one window whose tracks may have been cut differently; their spans tile what it owns.

    Args:
        pieces: of each track, in order; those of a track tile the same span.
    """
    edges = {edge for track in pieces.values() for piece in track for edge in _edges(piece)}
    for start, end in pairwise(sorted(edges)):
        yield _row(Span(start, end), [_piece_at(track, start) for track in pieces.values()])


def is_good(ending: Ending) -> bool:
    """Whether nothing of the span was lost."""
    return ending in (Ending.STOP, Ending.SILENCE)


def worst(endings: Sequence[Ending]) -> Ending:
    """The ending that a ledger shows for all of them."""
    return max(endings, key=_FROM_GOOD_TO_BAD.index)


def _edges(piece: Piece) -> tuple[int, int]:
    return piece.owned.start_sample, piece.owned.end_sample


def _piece_at(track: Sequence[Piece], sample: int) -> Piece:
    return next(piece for piece in track if piece.owned.start_sample <= sample < piece.owned.end_sample)


def _row(owned: Span, pieces: Sequence[Piece]) -> CoverageRow:
    """What every track was given at least, for the span, is the shortest that one of them was given."""
    heard = min((piece.heard for piece in pieces), key=lambda span: span.num_samples)
    return CoverageRow(pieces[0].window, owned, heard, worst([piece.ending for piece in pieces]))
