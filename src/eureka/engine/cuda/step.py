"""One decode step over memory that stays where it is, so that it can be kept as a CUDA graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eureka.engine.backend import StepChoice
from eureka.engine.cuda.choosing import NO_TOKEN, Rules, are_numbers, drawn, penalised
from eureka.engine.cuda.ops import StepOps, StepRows
from eureka.engine.cuda.paged_cache import PagedCache
from eureka.engine.cuda.weights import DecoderWeights

Mode = Literal["logits", "greedy", "drawn"]
"""What a step ends with: logits for the sampler, or tokens, for which nobody draws or some do."""

MAX_STEPS = 64
"""Steps whose tokens one call can hold."""

_TOKEN, _SLOT, _LENGTH, _ACTIVE, _TOP_K = range(5)
_TEMPERATURE, _PENALTY = range(2)


@dataclass(frozen=True, slots=True)
class StepInputs:
    """Rows of a call; (n,) each.

    Attributes:
        slots: of the rows.
        token_ids: to append.
        lengths: tokens that each slot holds.
    """

    slots: Sequence[int]
    token_ids: Sequence[int]
    lengths: NDArray[np.int64]


class StepBuffers:
    """What a step of at most `size` rows reads and writes.

    A call fills few tensors, each in one copy; steps change them: the token, length and life of each row.

    Args:
        size: B.
        num_slots: the slot of rows that stand idle.
        vocab_size: V.
        device: where they lie.
    """

    def __init__(self, size: int, num_slots: int, vocab_size: int, device: torch.device) -> None:
        self.size, self._idle_slot = size, num_slots
        self.ints = torch.zeros((5, size), dtype=torch.int64, device=device)
        self.floats = torch.zeros((2, size), dtype=torch.float32, device=device)
        self.draws = torch.zeros((MAX_STEPS, size), dtype=torch.float64, device=device)
        self.counters = torch.zeros(2, dtype=torch.int64, device=device)  # steps done, the end token
        self.chosen = torch.full((MAX_STEPS, size), NO_TOKEN, dtype=torch.int64, device=device)
        self.logits = torch.zeros((size, vocab_size), dtype=torch.float32, device=device)
        self.rows = StepRows(self.ints[_SLOT], self.ints[_LENGTH], self.ints[_ACTIVE])
        self.rules = Rules(self.floats[_PENALTY], self.floats[_TEMPERATURE], self.ints[_TOP_K])
        self.token_ids, self.num_steps, self.end_token = (
            self.ints[_TOKEN],
            self.counters[:1],
            self.counters[1:],
        )
        self.end_token_id = NO_TOKEN  # the same on the host, for who reads tokens
        self.idle()

    def idle(self) -> None:
        """Let all rows stand idle, as while a graph is captured."""
        self.ints.zero_()
        self.ints[_SLOT] = self._idle_slot
        self.floats[_PENALTY] = 1.0
        self.counters.zero_()

    def fill(self, inputs: StepInputs, choices: Sequence[StepChoice] = (), end_token_id: int = -1) -> None:
        """Take the rows of a call; rows behind them stand idle."""
        count, self.end_token_id = len(inputs.slots), end_token_id
        ints = np.zeros((5, self.size), dtype=np.int64)
        ints[_SLOT] = self._idle_slot
        ints[_TOKEN, :count], ints[_SLOT, :count] = inputs.token_ids, inputs.slots
        ints[_LENGTH, :count], ints[_ACTIVE, :count] = inputs.lengths, 1
        floats = np.zeros((2, self.size), dtype=np.float32)
        floats[_PENALTY] = 1.0
        for row, choice in enumerate(choices):
            ints[_TOP_K, row] = choice.top_k
            floats[:, row] = choice.temperature, choice.repetition_penalty
        self.ints.copy_(torch.from_numpy(ints))
        self.floats.copy_(torch.from_numpy(floats))
        self.counters.copy_(torch.tensor([0, end_token_id]))
        if any(choice.temperature > 0 for choice in choices):
            draws = np.zeros((len(choices[0].draws), self.size))
            draws[:, :count] = np.array([choice.draws for choice in choices]).T
            self.draws[: len(draws)].copy_(torch.from_numpy(draws))


@dataclass(frozen=True, slots=True, eq=False)
class DecodeStep:
    """The arithmetic of a step.

    Attributes:
        weights: of the language model.
        cache: keys and values of all slots.
        ops: how it is computed.
        seen: (num_slots + 1, V) bool, ids that the penalty of a slot's sequence looks at.
    """

    weights: DecoderWeights
    cache: PagedCache
    ops: StepOps
    seen: Tensor

    def run(self, buffers: StepBuffers, mode: Mode) -> None:
        """Append each row's token, and choose the next but in the mode `logits`."""
        ops, rows, weights = self.ops, buffers.rows, self.weights
        x = weights.table.index_select(0, buffers.token_ids)  # (B, D)
        for index, layer in enumerate(weights.layers):
            queries = ops.heads(ops.linear(x, layer.qkv, layer.before), index, rows, self.cache)
            x = ops.linear(ops.attend(queries, index, rows, self.cache), layer.o, residual=x)
            x = ops.linear(ops.gated(x, layer.after, layer.gate_up), layer.down, residual=x)
        buffers.logits.copy_(ops.linear(x, weights.head, weights.norm, dtype=torch.float32))
        rows.lengths.add_(rows.active)
        if mode != "logits":
            self._choose(buffers, mode)

    def _choose(self, buffers: StepBuffers, mode: Mode) -> None:
        """Note the next token of each row that goes on, and end those that stop."""
        rows, logits = buffers.rows, buffers.logits
        scores = penalised(logits, self.seen.index_select(0, rows.slots), buffers.rules.penalty)
        if mode == "greedy":
            ids = scores.argmax(dim=-1)
        else:
            draws = buffers.draws.index_select(0, buffers.num_steps)[0]
            ids = drawn(scores, buffers.rules, draws)
        goes_on = (rows.active != 0) & are_numbers(logits)
        buffers.chosen.index_copy_(0, buffers.num_steps, ids.masked_fill(~goes_on, NO_TOKEN)[None])
        idle = len(self.seen) - 1  # what rows without a sequence have seen is looked at by nobody
        marked = (rows.slots.masked_fill(~goes_on, idle), ids)
        self.seen.index_put_(marked, torch.ones_like(goes_on))
        buffers.token_ids.copy_(torch.where(goes_on, ids, buffers.token_ids))
        rows.active.copy_((goes_on & (ids != buffers.end_token)).long())
        buffers.num_steps.add_(1)
