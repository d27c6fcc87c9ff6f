"""The five operations of a decode step: what they mean, in plain torch, and what a step says of its rows.

`PlainOps` is the slow, obvious form, the one that runs without a GPU; `triton_ops` does the same by kernels.
Sums are float32 and rounded once, to the type of the output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from eureka.engine.cuda.paged_cache import NO_PAGE, PAGE_TOKENS, PagedCache
from eureka.engine.cuda.weights import DecoderWeights, Linear
from eureka.model.norms import divide_by_rms


@dataclass(frozen=True, slots=True, eq=False)
class StepRows:
    """The rows of a step; int64 (B,) each, memory that stays where it is.

    Attributes:
        slots: of the cache; the number of slots for a row without a sequence.
        lengths: tokens that each holds, which is the position of its next.
        active: 1 where the next token is to be written.
    """

    slots: Tensor
    lengths: Tensor
    active: Tensor


class StepOps(Protocol):
    """The arithmetic of one decode step."""

    def linear(
        self,
        x: Tensor,
        linear: Linear,
        norm: Tensor | None = None,
        residual: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """residual + norm(x) times the weight, (B, N) of x (B, D), in `dtype` or that of x."""
        ...

    def gated(self, x: Tensor, norm: Tensor, linear: Linear) -> Tensor:
        """silu(gate) * up of norm(x), (B, I) of x (B, D)."""
        ...

    def heads(self, qkv: Tensor, layer: int, rows: StepRows, cache: PagedCache) -> Tensor:
        """Queries (B, H, P) of qkv (B, (H + 2 K) P), normed and rotated; keys and values go to the cache."""
        ...

    def attend(self, queries: Tensor, layer: int, rows: StepRows, cache: PagedCache) -> Tensor:
        """What queries (B, H, P) find among the first lengths + 1 tokens of their slots, (B, H P)."""
        ...


class PlainOps:
    """Plain torch, any device.

    Args:
        weights: for norms of heads and rotary tables.
    """

    def __init__(self, weights: DecoderWeights) -> None:
        self._weights = weights

    def linear(
        self,
        x: Tensor,
        linear: Linear,
        norm: Tensor | None = None,
        residual: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """See `StepOps`."""
        out = _product(self._normed(x, norm), linear)
        if residual is not None:
            out = out + residual.float()
        return out.to(dtype or x.dtype)

    def gated(self, x: Tensor, norm: Tensor, linear: Linear) -> Tensor:
        """See `StepOps`."""
        gate, up = _product(self._normed(x, norm), linear).chunk(2, dim=-1)
        return (functional.silu(gate) * up).to(x.dtype)

    def heads(self, qkv: Tensor, layer: int, rows: StepRows, cache: PagedCache) -> Tensor:
        """See `StepOps`."""
        config, own = self._weights.config, self._weights.layers[layer]
        num_heads, num_kv_heads = config.num_attention_heads, config.num_key_value_heads
        heads = qkv.view(len(qkv), -1, config.head_dim)  # (B, H + 2 K, P)
        queries, keys, values = heads.split([num_heads, num_kv_heads, num_kv_heads], dim=1)
        cos, sin = (table[rows.lengths][:, None] for table in (self._weights.cos, self._weights.sin))
        queries = _rotated(self._normed(queries, own.queries), cos, sin)
        keys = _rotated(self._normed(keys, own.keys), cos, sin)
        pages = cache.tables[rows.slots].gather(1, (rows.lengths // PAGE_TOKENS)[:, None])[:, 0]
        pages = torch.where(rows.active != 0, pages, NO_PAGE).long()
        cache.write(layer, (pages, rows.lengths % PAGE_TOKENS), keys, values)
        return queries

    def attend(self, queries: Tensor, layer: int, rows: StepRows, cache: PagedCache) -> Tensor:
        """See `StepOps`."""
        config = self._weights.config
        group = config.num_attention_heads // config.num_key_value_heads
        mixed = torch.empty_like(queries)
        for row, (slot, length) in enumerate(
            zip(rows.slots.tolist(), (rows.lengths + 1).tolist(), strict=True)
        ):
            pages = cache.tables[slot].long()
            keys, values = (  # (K, tokens, P)
                store[layer, pages].transpose(0, 1).flatten(1, 2)[:, :length].float()
                for store in (cache.keys, cache.values)
            )
            grouped = queries[row].float().view(len(keys), group, -1)  # (K, G, P)
            weights = (grouped @ keys.transpose(1, 2) * config.head_dim**-0.5).softmax(dim=-1)
            mixed[row] = (weights @ values).flatten(0, 1).to(queries.dtype)
        return mixed.flatten(1)

    def _normed(self, x: Tensor, norm: Tensor | None) -> Tensor:
        return x if norm is None else divide_by_rms(x, self._weights.config.rms_norm_eps) * norm


def _product(x: Tensor, linear: Linear) -> Tensor:
    """x (B, D) times the weight in float32; the factors of its rows come last."""
    out = functional.linear(x.float(), linear.weight.float())
    return out if linear.scale is None else out * linear.scale


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The halves of x (B, heads, P) turned against each other in float32."""
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return turned.to(x.dtype)
