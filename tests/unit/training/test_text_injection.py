from __future__ import annotations

import numpy as np
import pytest

from eureka.training.alignment import SILENCE
from eureka.training.text_injection import PhonePieces, glue

CLIPS = [
    [(SILENCE, 40), (5, 3), (6, 4), (SILENCE, 6), (7, 2), (SILENCE, 9)],
    [(SILENCE, 2), (6, 3), (5, 5), (7, 3), (8, 4), (SILENCE, 30)],
]
"""Phones of two clips with their lengths in frames."""


def _pieces() -> tuple[PhonePieces, np.ndarray]:
    """The pieces, and frames whose values name their phone."""
    rows, clip_of, frames = [], [], []
    for number, clip in enumerate(CLIPS):
        for phone, length in clip:
            rows.append((phone, len(frames), len(frames) + length))
            clip_of.append(number)
            frames += [phone] * length
    pieces = PhonePieces(np.array(rows, np.int64), np.array(clip_of))
    return pieces, np.array(frames, np.float16)[:, None].repeat(3, axis=1)


def _said(ranges: list[tuple[int, int]], frames: np.ndarray) -> list[int]:
    """Phones of the ranges, each of one value all along, pauses left out."""
    phones = []
    for start, end in ranges:
        values = set(frames[start:end, 0].tolist())
        assert len(values) == 1
        phones.append(int(values.pop()))
    return [phone for phone in phones if phone != SILENCE]


@pytest.mark.parametrize("words", [[[5, 6]], [[7], [8]], [[8, 5, 5], [6, 7]], [[6, 5, 7, 8]]])
def test_pieces_chosen_for_words_say_exactly_their_phones(words: list[list[int]]) -> None:
    pieces, frames = _pieces()
    for seed in range(40):
        ranges = pieces.choose(words, np.random.default_rng(seed))
        assert ranges is not None
        assert _said(ranges, frames) == [phone for word in words for phone in word]


def test_pieces_begin_and_end_in_a_pause_of_bounded_length() -> None:
    pieces, frames = _pieces()
    for seed in range(40):
        ranges = pieces.choose([[5], [6]], np.random.default_rng(seed))
        assert ranges is not None
        for start, end in (ranges[0], ranges[-1]):
            assert frames[start, 0] == SILENCE and 0 < end - start < 16
        for start, end in ranges[1:-1]:
            assert frames[start, 0] != SILENCE or end - start < 14


def test_pieces_for_a_phone_never_heard_are_none() -> None:
    pieces, _ = _pieces()
    assert pieces.choose([[5], [9]], np.random.default_rng(0)) is None


def test_pieces_prefer_the_same_context() -> None:
    pieces, frames = _pieces()
    own = [row for row, phone in enumerate(pieces.phone) if phone == 7][1]  # between 5 and 8
    for seed in range(20):
        ranges = pieces.choose([[5, 7, 8]], np.random.default_rng(seed))
        assert ranges is not None
        spoken = [r for r in ranges if frames[r[0], 0] == 7]
        assert spoken == [(pieces.start[own], pieces.end[own])]


def test_pieces_of_the_same_seed_are_the_same() -> None:
    pieces, _ = _pieces()
    first, again = (pieces.choose([[5, 6], [7]], np.random.default_rng(4)) for _ in range(2))
    assert first == again


def test_glue_joins_ranges_and_repeats_the_last_frame_up_to_a_stack() -> None:
    frames = np.arange(20, dtype=np.float16)[:, None]
    assert glue(frames, [(3, 6), (10, 12)])[:, 0].tolist() == [3, 4, 5, 10, 11, 11, 11, 11]
    assert glue(frames, [(0, 4)])[:, 0].tolist() == [0, 1, 2, 3]
