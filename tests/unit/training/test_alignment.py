from __future__ import annotations

import itertools

import numpy as np
import pytest

from eureka.training.alignment import SILENCE, Alignment, align_batch, state_sequence, worst_dropped

NUM_PHONES = 6
FLAT_PRIOR = np.zeros(NUM_PHONES, np.float32)


def _posteriors(rows: int, frames: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 2, (rows, frames, NUM_PHONES)).astype(np.float32)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def _slow_best_path(
    emissions: np.ndarray, words: list[list[int]]
) -> tuple[float, list[tuple[int, int, int]]]:
    """Best of all segmentations, one choice of pauses after the other, by plain dynamic programming."""
    best: tuple[float, list[tuple[int, int, int]]] = (-np.inf, [])
    for pauses in itertools.product([False, True], repeat=len(words) + 1):
        phones = [SILENCE] * pauses[0]
        for word, pause in zip(words, pauses[1:], strict=True):
            phones += word + [SILENCE] * pause
        score, borders = _slow_segments(emissions, phones)
        if score > best[0]:
            best = score, [(p, s, e) for p, (s, e) in zip(phones, itertools.pairwise(borders), strict=True)]
    return best


def _slow_segments(emissions: np.ndarray, phones: list[int]) -> tuple[float, list[int]]:
    """Best borders of phones that all occur, each for at least one frame."""
    frames = len(emissions)
    table: dict[tuple[int, int], tuple[float, list[int]]] = {(0, 0): (0.0, [0])}
    for count, phone in enumerate(phones, start=1):
        for end in range(1, frames + 1):
            ways = [
                (table[count - 1, start][0] + float(emissions[start:end, phone].sum()), start)
                for start in range(end)
                if (count - 1, start) in table
            ]
            if ways:
                score, start = max(ways)
                table[count, end] = score, [*table[count - 1, start][1], end]
    return table.get((len(phones), frames), (-np.inf, []))


def test_state_sequence_has_a_pause_around_every_word() -> None:
    assert state_sequence([[3, 4], [5]]) == [SILENCE, 3, 4, SILENCE, 5, SILENCE]


@pytest.mark.parametrize("seed", range(8))
def test_alignment_equals_the_best_of_all_paths(seed: int) -> None:
    words = [[1, 2], [3], [4, 1]]
    posteriors = _posteriors(1, 11, seed)
    [aligned] = align_batch(posteriors, [11], [words], FLAT_PRIOR)
    score, rows = _slow_best_path(posteriors[0], words)
    assert aligned is not None
    assert aligned.score * 11 == pytest.approx(score, rel=1e-4)
    assert list(aligned.phones) == rows


def test_alignment_subtracts_half_the_prior() -> None:
    posteriors = _posteriors(1, 9, 3)
    prior = np.log(np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1], np.float32))
    [aligned] = align_batch(posteriors, [9], [[[2], [4]]], prior)
    score, rows = _slow_best_path(posteriors[0] - 0.5 * prior, [[2], [4]])
    assert aligned is not None
    assert aligned.score * 9 == pytest.approx(score, rel=1e-4)
    assert list(aligned.phones) == rows


def test_alignment_in_a_batch_equals_alignment_alone() -> None:
    words = [[[1, 2]], [[3], [4, 5], [1]], [[2]]]
    lengths = [7, 12, 1]
    posteriors = _posteriors(3, 12, 5)
    together = align_batch(posteriors, lengths, words, FLAT_PRIOR)
    for row, length in enumerate(lengths):
        [alone] = align_batch(posteriors[row : row + 1, :length], [length], [words[row]], FLAT_PRIOR)
        assert together[row] == alone


def test_alignment_tiles_the_clip_and_says_every_phone() -> None:
    [aligned] = align_batch(_posteriors(1, 30, 6), [30], [[[1, 1], [2]]], FLAT_PRIOR)
    assert aligned is not None
    assert aligned.phones[0][1] == 0 and aligned.phones[-1][2] == 30
    assert all(a[2] == b[1] for a, b in itertools.pairwise(aligned.phones))
    assert [p for p, _, _ in aligned.phones if p != SILENCE] == [1, 1, 2]


def test_alignment_of_a_clip_shorter_than_its_phones_is_none() -> None:
    assert align_batch(_posteriors(1, 2, 0), [2], [[[1, 2, 3, 4]]], FLAT_PRIOR) == [None]


def test_worst_dropped_leaves_out_failures_and_the_lowest_scores() -> None:
    scores = [-5.0, None, -1.0, -9.0, -2.0, *[-1.5] * 15]
    alignments = [None if s is None else Alignment(((0, 0, 1),), s) for s in scores]
    kept = worst_dropped(alignments, share=0.06)
    assert 1 not in kept and 3 not in kept
    assert len(kept) == 17  # two of 19 lie below the quantile
    assert worst_dropped([None, None]) == []
