"""StepRunner: decode steps as CUDA graphs, one for each batch bucket and mode; eagerly without a GPU."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from eureka.engine.cuda.choosing import NO_TOKEN
from eureka.engine.cuda.step import DecodeStep, Mode, StepBuffers

BUCKETS = (1, 2, 4, 8, 16, 24, *range(32, 257, 16))
"""Rows of the graphs; a batch runs in the least that holds it."""

_WARM_UPS = 2
"""Steps before a capture: kernels are compiled and libraries take their memory in the first."""


def buckets_for(num_slots: int, is_padded: bool = False) -> tuple[int, ...]:
    """Buckets up to the first that holds all slots; that one alone with `is_padded`."""
    beyond = range(BUCKETS[-1], num_slots + BUCKETS[-1], 64)
    largest = next(size for size in (*BUCKETS, *beyond) if size >= num_slots)
    sizes = [size for size in (*BUCKETS, *beyond) if size < largest]
    return (largest,) if is_padded else (*sorted(set(sizes)), largest)


class StepRunner:
    """Runs steps, and reads their tokens one step late, so that the device never waits for the reader.

    Args:
        step: the arithmetic.
        num_slots: sequences that there are.
        is_padded: all batches run in one bucket, so that each row always meets the same arithmetic.
        is_captured: steps are CUDA graphs; they must be where kernels are launched a step at a time.
    """

    def __init__(self, step: DecodeStep, num_slots: int, is_padded: bool, is_captured: bool) -> None:
        self._step, self._num_slots, self._is_captured = step, num_slots, is_captured
        self.buckets = buckets_for(num_slots, is_padded)
        self._buffers: dict[int, StepBuffers] = {}
        self._graphs: dict[tuple[int, Mode], torch.cuda.CUDAGraph] = {}
        self._stream = torch.cuda.Stream(step.weights.device) if is_captured else None

    @property
    def num_graphs(self) -> int:
        """Graphs captured so far."""
        return len(self._graphs)

    def prepare(self, modes: tuple[Mode, ...] = ("logits", "greedy")) -> None:
        """Capture the graphs of all buckets, the largest first: the others then fit into its memory."""
        with self._on_device():
            for size in reversed(self.buckets):
                for mode in modes:
                    self._graph(self.buffers(size), mode)

    def buffers(self, count: int) -> StepBuffers:
        """Those of the least bucket that holds `count` rows."""
        size = next(size for size in self.buckets if size >= count)
        if size not in self._buffers:
            weights = self._step.weights
            args = (size, self._num_slots, weights.config.vocab_size, weights.device)
            self._buffers[size] = StepBuffers(*args)
        return self._buffers[size]

    def logits(self, buffers: StepBuffers, count: int) -> Tensor:
        """Logits (count, V) of one step over filled buffers."""
        with self._on_device():
            self._launch(buffers, "logits")
        return buffers.logits[:count]

    def tokens(self, buffers: StepBuffers, count: int, num_steps: int, mode: Mode) -> list[list[int]]:
        """Tokens of up to `num_steps` steps over filled buffers, for each of `count` rows.

        Stops when no row goes on, noticed one step late: while the host reads one step the device is at the
        next, whose rows stand still.
        """
        reader = _Reader(buffers, count)
        with self._on_device():
            for number in range(num_steps):
                self._launch(buffers, mode)
                reader.enqueue(number)
                if number and not reader.goes_on(number - 1):
                    break
            return reader.tokens()

    def _on_device(self) -> contextlib.AbstractContextManager[Any]:
        """Kernels are launched on the current device, which is a thread's own affair."""
        device = self._step.weights.device
        return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()

    def _launch(self, buffers: StepBuffers, mode: Mode) -> None:
        if self._is_captured:
            self._graph(buffers, mode).replay()
        else:
            self._step.run(buffers, mode)

    def _graph(self, buffers: StepBuffers, mode: Mode) -> torch.cuda.CUDAGraph:
        key = (buffers.size, mode)
        if self._is_captured and key not in self._graphs:
            self._graphs[key] = self._capture(buffers, mode)
        return self._graphs[key]

    def _capture(self, buffers: StepBuffers, mode: Mode) -> torch.cuda.CUDAGraph:
        """A graph of one step; the buffers, which the warm-up runs over, are as before when it returns."""
        assert self._stream is not None
        kept = [tensor.clone() for tensor in (buffers.ints, buffers.floats, buffers.counters)]
        buffers.idle()
        pool = next(iter(self._graphs.values())).pool() if self._graphs else None
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                self._step.run(buffers, mode)
        torch.cuda.current_stream().wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads, the encoder's say, may go on with what a capture of theirs would forbid.
        with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
            self._step.run(buffers, mode)
        for tensor, old in zip((buffers.ints, buffers.floats, buffers.counters), kept, strict=True):
            tensor.copy_(old)
        return graph


class _Reader:
    """Tokens of steps on their way to the host."""

    def __init__(self, buffers: StepBuffers, count: int) -> None:
        self._buffers, self._count = buffers, count
        self._is_cuda = buffers.chosen.is_cuda
        self._read = torch.full(
            (len(buffers.chosen), count), NO_TOKEN, dtype=torch.int64, pin_memory=self._is_cuda
        )
        self._events: list[torch.cuda.Event] = []
        self._num_steps = 0

    def enqueue(self, number: int) -> None:
        """Let the device send the tokens of a step that it was given."""
        self._read[number].copy_(self._buffers.chosen[number, : self._count], non_blocking=self._is_cuda)
        if self._is_cuda:
            event = torch.cuda.Event()
            event.record()
            self._events.append(event)
        self._num_steps = number + 1

    def goes_on(self, number: int) -> bool:
        """Whether a row goes on behind a step; waits for its tokens."""
        if self._is_cuda:
            self._events[number].synchronize()
        row = self._read[number]
        return bool(((row != NO_TOKEN) & (row != self._end_token)).any())

    def tokens(self) -> list[list[int]]:
        """All tokens of each row, once the last step is through."""
        if self._events:
            self._events[-1].synchronize()
        columns = self._read[: self._num_steps].T.tolist()
        return [[token_id for token_id in column if token_id != NO_TOKEN] for column in columns]

    @property
    def _end_token(self) -> int:
        return self._buffers.end_token_id
