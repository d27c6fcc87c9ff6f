"""Forced alignment of real speech with the encoder's own phone posteriors.

The words of a transcript become phones by the lexicon, with a pause allowed between words and at both
ends. Viterbi over all clips of a batch at once; emissions are log posteriors minus half the log prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SILENCE = 0
"""Phone id of a pause."""

_PRIOR_WEIGHT = 0.5
_IMPOSSIBLE = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Phones of one clip: rows (phone, first frame, end frame) at 50 Hz, and the mean frame score."""

    phones: tuple[tuple[int, int, int], ...]
    score: float


def state_sequence(words: Sequence[Sequence[int]]) -> list[int]:
    """Phones of the words with a pause before, between and after them."""
    states = [SILENCE]
    for word in words:
        states.extend(word)
        states.append(SILENCE)
    return states


def align_batch(
    log_posteriors: NDArray[np.float32],
    num_frames: Sequence[int],
    words: Sequence[Sequence[Sequence[int]]],
    log_prior: NDArray[np.float32],
) -> list[Alignment | None]:
    """Align each clip of a batch.

    Args:
        log_posteriors: (B, T, C) log probabilities of phones.
        num_frames: true frames of each clip.
        words: phones a word, for each clip.
        log_prior: (C,) log frequency of each phone in the training labels.

    Returns:
        One alignment a clip; None where the clip has fewer frames than phones.
    """
    sequences = [state_sequence(w) for w in words]
    num_states = max(len(s) for s in sequences)
    states = np.zeros((len(sequences), num_states), np.int64)
    for row, sequence in enumerate(sequences):
        states[row, : len(sequence)] = sequence
    emissions = log_posteriors - _PRIOR_WEIGHT * log_prior
    backs, scores = _forward(emissions, states, num_frames)
    results: list[Alignment | None] = []
    for row, sequence in enumerate(sequences):
        results.append(_trace(backs[row], scores[row], sequence, num_frames[row]))
    return results


def _forward(
    emissions: NDArray[np.float32], states: NDArray[np.int64], num_frames: Sequence[int]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Best scores of each state after the clip's last frame (B, S), and steps taken (B, T, S)."""
    num_rows, num_states = states.shape
    longest = int(max(num_frames))
    rows = np.arange(num_rows)[:, None]
    can_skip = np.zeros_like(states, bool)  # over a pause between two words, or at the start
    can_skip[:, 2:] = (states[:, 1:-1] == SILENCE) & (states[:, 2:] != SILENCE)
    alpha = np.full((num_rows, num_states), _IMPOSSIBLE, np.float32)
    alpha[:, :2] = emissions[rows, 0, states[:, :2]]
    backs = np.zeros((num_rows, longest, num_states), np.int8)
    final = alpha.copy()
    ends = np.asarray(num_frames)
    for t in range(1, longest):
        choices = np.full((3, num_rows, num_states), _IMPOSSIBLE, np.float32)
        choices[0] = alpha
        choices[1, :, 1:] = alpha[:, :-1]
        choices[2, :, 2:] = np.where(can_skip[:, 2:], alpha[:, :-2], _IMPOSSIBLE)
        backs[:, t] = choices.argmax(axis=0)
        alpha = choices.max(axis=0) + emissions[rows, t, states]
        done = ends == t + 1
        final[done] = alpha[done]
    return backs, final


def _trace(
    backs: NDArray[np.int8], scores: NDArray[np.float32], sequence: list[int], num_frames: int
) -> Alignment | None:
    last = len(sequence) - 1
    state = last if scores[last] >= scores[last - 1] else last - 1
    if scores[state] <= _IMPOSSIBLE / 2 or num_frames < len(sequence) // 2:
        return None
    total = float(scores[state])
    path = np.empty(num_frames, np.int64)
    for t in range(num_frames - 1, -1, -1):
        path[t] = state
        state -= int(backs[t, state]) if t else 0
    rows = []
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    for start, end in zip(starts, [*starts[1:], num_frames], strict=True):
        rows.append((sequence[path[start]], int(start), int(end)))
    return Alignment(tuple(rows), total / num_frames)


def worst_dropped(alignments: Sequence[Alignment | None], share: float = 0.06) -> list[int]:
    """Numbers of the clips to keep: aligned, and not among the worst `share` by score."""
    scores = np.array([a.score if a is not None else -np.inf for a in alignments])
    alive = np.isfinite(scores)
    if not alive.any():
        return []
    limit = np.quantile(scores[alive], share)
    return [i for i in range(len(scores)) if alive[i] and scores[i] >= limit]
