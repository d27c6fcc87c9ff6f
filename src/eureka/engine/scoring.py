"""Closed-set scoring: how well each label of a set continues a prompt that is in a slot already.

The prompt is prefilled once; all labels continue it side by side without changing the slot.
The rule for labels of different lengths stands at `LabelScores`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eureka.engine.backend import Backend
from eureka.engine.request import Floats, Label


def score_labels(
    backend: Backend, slot: int, first_logits: Floats, labels: Sequence[Label], end_token_id: int
) -> tuple[float, ...]:
    """Summed log-probability of each label, the end token counted.

    Args:
        backend: holds the prompt in `slot`; the slot is left as it is.
        slot: where the prompt is.
        first_logits: (V,) after the prompt's last token, as `prefill` gave them.
        labels: candidates, each with at least one token.
        end_token_id: closes each label.
    """
    first = log_softmax(first_logits)
    continuations = [[*label.token_ids, end_token_id] for label in labels]
    rest = backend.continuation_log_probabilities(slot, continuations)
    return tuple(float(first[ids[0]] + later.sum()) for ids, later in zip(continuations, rest, strict=True))


def log_softmax(logits: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Log-probabilities along the last axis, in float64."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    logs: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = shifted - np.log(
        np.exp(shifted).sum(axis=-1, keepdims=True)
    )
    return logs


def are_numbers(logits: Floats) -> NDArray[np.bool_]:
    """For each row of logits (..., V) whether nothing in it is NaN or +inf, and not all of it -inf."""
    answer: NDArray[np.bool_] = np.isfinite(logits.max(axis=-1))
    return answer
