"""What a graph may hold: no number of a step goes to the host, and none comes from it."""

from __future__ import annotations

import pytest
import torch

from eureka.engine.cuda.ops import StepRows
from eureka.engine.cuda.paged_cache import PagedCache
from eureka.engine.cuda.step import DecodeStep, Mode, StepBuffers
from eureka.engine.cuda.weights import DecoderWeights, Linear, weights_of
from tests.helpers.tiny_model import tiny_model


class Shapes:
    """Kernels as far as a graph sees them: they give memory of a shape."""

    def __init__(self, weights: DecoderWeights) -> None:
        self._config = weights.config

    def linear(
        self, x: torch.Tensor, linear: Linear, *_: object, dtype: torch.dtype | None = None, **__: object
    ) -> torch.Tensor:
        return x.new_empty((len(x), len(linear.weight)), dtype=dtype)

    def gated(self, x: torch.Tensor, norm: torch.Tensor, linear: Linear) -> torch.Tensor:
        return x.new_empty((len(x), len(linear.weight) // 2))

    def heads(self, qkv: torch.Tensor, layer: int, rows: StepRows, cache: PagedCache) -> torch.Tensor:
        return qkv.new_empty((len(qkv), self._config.num_attention_heads, self._config.head_dim))

    def attend(self, queries: torch.Tensor, layer: int, rows: StepRows, cache: PagedCache) -> torch.Tensor:
        return queries.flatten(1)


def run_without_numbers(mode: Mode, buffers_device: str = "meta") -> StepBuffers:
    """A step over tensors that have shapes and a device of their own, but hold nothing."""
    weights = weights_of(tiny_model().backbone.to("meta", torch.bfloat16), 64)
    cache = PagedCache(weights.config, 4, 64, None, weights.dtype, "meta")
    seen = torch.zeros((5, weights.config.vocab_size), dtype=torch.bool, device="meta")
    buffers = StepBuffers(4, 4, weights.config.vocab_size, torch.device(buffers_device))
    with torch.inference_mode():
        DecodeStep(weights, cache, Shapes(weights), seen).run(buffers, mode)
    return buffers


@pytest.mark.parametrize("mode", ["logits", "greedy", "drawn"])
def test_step_neither_asks_the_host_nor_takes_from_it(mode: Mode) -> None:
    assert run_without_numbers(mode).chosen.is_meta


def test_a_step_that_did_would_be_seen() -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        run_without_numbers("greedy", buffers_device="cpu")
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        bool(run_without_numbers("greedy").rows.active.any())
