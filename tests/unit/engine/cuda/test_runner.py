"""Steps are given to the device one ahead of the reader, and no more once nobody goes on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from eureka.engine.backend import StepChoice
from eureka.engine.cuda.choosing import NO_TOKEN
from eureka.engine.cuda.runner import StepRunner
from eureka.engine.cuda.step import Mode, StepBuffers, StepInputs

END = 9


class Script:
    """A step whose tokens are known: a list for each step, a token for each row."""

    def __init__(self, *tokens: list[int]) -> None:
        self.weights: Any = SimpleNamespace(device=torch.device("cpu"), config=SimpleNamespace(vocab_size=16))
        self._tokens = tokens
        self.calls: list[tuple[int, Mode]] = []

    def run(self, buffers: StepBuffers, mode: Mode) -> None:
        step = self._tokens[len(self.calls)] if len(self.calls) < len(self._tokens) else [NO_TOKEN] * 2
        buffers.chosen[len(self.calls), : len(step)] = torch.tensor(step)
        self.calls.append((buffers.size, mode))


def tokens_of(script: Script, num_steps: int) -> list[list[int]]:
    runner = StepRunner(script, num_slots=4, is_padded=False, is_captured=False)  # type: ignore[arg-type]
    buffers = runner.buffers(2)
    choices = [StepChoice(0.0, 0, (0.0,) * num_steps)] * 2
    buffers.fill(StepInputs([3, 1], [5, 6], np.array([7, 8])), choices, END)
    return runner.tokens(buffers, 2, num_steps, "greedy")


def test_all_steps_are_made_while_a_row_goes_on() -> None:
    script = Script([1, 2], [3, END], [4, NO_TOKEN])
    assert tokens_of(script, 3) == [[1, 3, 4], [2, END]]
    assert script.calls == [(2, "greedy")] * 3


@pytest.mark.parametrize("last", [[END, END], [NO_TOKEN, END]])
def test_the_end_of_all_rows_is_noticed_one_step_late(last: list[int]) -> None:
    script = Script([1, 2], last)
    found = tokens_of(script, 10)
    assert found == [[1, *(token for token in last[:1] if token == END)], [2, END]]
    assert len(script.calls) == 3


def test_rows_behind_the_batch_stand_idle() -> None:
    buffers = StepBuffers(4, 7, 16, torch.device("cpu"))
    choices = [StepChoice(0.7, 5, (0.1, 0.2), 1.3), StepChoice(0.0, 0, (0.0, 0.0))]
    buffers.fill(StepInputs([3, 1], [5, 6], np.array([7, 8])), choices, END)
    assert buffers.rows.slots.tolist() == [3, 1, 7, 7]
    assert buffers.rows.active.tolist() == [1, 1, 0, 0]
    assert buffers.rows.lengths.tolist() == [7, 8, 0, 0]
    assert buffers.token_ids.tolist() == [5, 6, 0, 0]
    assert buffers.rules.penalty.tolist() == pytest.approx([1.3, 1.0, 1.0, 1.0])
    assert buffers.draws[:2].tolist() == [[0.1, 0.0, 0.0, 0.0], [0.2, 0.0, 0.0, 0.0]]
