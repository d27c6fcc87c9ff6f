"""Judging ids: the same, tied, or other, with a reference whose logits are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pace.same_ids import Steps, judge, kind_of_step
from pace.sides import Asked

from eureka.text.prompts import Prompt


@pytest.mark.parametrize(
    ("token_id", "gap", "expected"),
    [(1, 0.0005, Steps(num_same=1)), (2, 0.0005, Steps(num_tied=1)), (2, 0.5, Steps(num_other=1))],
)
def test_step_is_tied_only_where_the_two_best_are_close(token_id: int, gap: float, expected: Steps) -> None:
    scores = np.array([0.0, 2.0, 2.0 - gap, 1.0], dtype=np.float32)
    assert kind_of_step(scores, token_id) == expected


class _Counting:
    """The best id after id n is n + 1; at the start it is 1."""

    vocab_size = 6

    def __init__(self) -> None:
        self.released: list[int] = []

    def prefill(self, prefills: Any) -> np.ndarray:
        return np.stack([self._after(0) for _ in prefills])

    def decode(self, slots: Any, token_ids: Any) -> np.ndarray:
        return np.stack([self._after(token_id) for token_id in token_ids])

    def release(self, slot: int) -> None:
        self.released.append(slot)

    def _after(self, token_id: int) -> np.ndarray:
        return np.eye(self.vocab_size, dtype=np.float32)[(token_id + 1) % self.vocab_size]


def _asked() -> Asked:
    ids = np.zeros(2, dtype=np.int64)
    return Asked(Prompt(ids, np.zeros_like(ids)), np.zeros((0, 4), dtype=np.float32))


def test_judge_goes_on_along_the_answer_after_a_step_that_differs() -> None:
    reference: Any = _Counting()
    assert judge(reference, _asked(), [1, 2, 5, 0, 1], penalty=1.0) == Steps(num_same=4, num_other=1)
    assert reference.released == [0]


def test_judge_chooses_by_penalised_logits() -> None:
    """Once all ids but one score 0 and the best is seen, a heavy penalty brings it next to the others."""
    reference: Any = _Counting()
    assert judge(reference, _asked(), [1], penalty=1.0) == Steps(num_same=1)
    assert judge(reference, _asked(), [1, 2, 3, 4, 5, 0, 2], penalty=1e6).num_tied == 1
