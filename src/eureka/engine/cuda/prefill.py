"""Prompts and continuations through the language model: torch's own products and attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from eureka.engine.cuda.paged_cache import PagedCache
from eureka.engine.cuda.weights import DecoderWeights, LayerWeights

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""From layer, queries (N, H, P), keys and values (N, K, P) to what queries find, (N, H P)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens `start` to `start + count` of a slot, which holds those before."""

    slot: int
    start: int
    count: int


def run_layers(weights: DecoderWeights, x: Tensor, positions: Tensor, attend: Attend) -> Tensor:
    """Hidden states (N, D) before the final norm, of embeddings (N, D) at positions (N,)."""
    cos, sin = weights.cos[positions][:, None], weights.sin[positions][:, None]  # (N, 1, P / 2)
    for index, layer in enumerate(weights.layers):
        queries, keys, values = _project(weights, layer, x, cos, sin)
        x = x + layer.o.product(attend(index, queries, keys, values))
        gate, up = layer.gate_up.product(_normed(weights, x, layer.after)).chunk(2, dim=-1)
        x = x + layer.down.product(functional.silu(gate) * up)
    return x


def logits_of(weights: DecoderWeights, hidden: Tensor) -> Tensor:
    """Logits (n, V) float32 of hidden states (n, D)."""
    return weights.head.product(_normed(weights, hidden, weights.norm)).float()


def prefill_attention(cache: PagedCache, pieces: Sequence[Piece]) -> Attend:
    """Attention of pieces that stand one after another, each to its own sequence; fills the cache."""
    counts = [piece.count for piece in pieces]
    places = [cache.places(piece.slot, piece.start, piece.count) for piece in pieces]

    def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        split = zip(*(tensor.split(counts) for tensor in (queries, keys, values)), strict=True)
        mixed = []
        for piece, place, (own, new_keys, new_values) in zip(pieces, places, split, strict=True):
            cache.write(layer, place, new_keys, new_values)
            if piece.start:
                old = cache.read(layer, piece.slot, piece.start + piece.count)
                mixed.append(_attend_behind(own, *old, piece.start))
            else:
                mixed.append(_attend_alone(own, new_keys, new_values))
        return torch.cat(mixed)

    return attend


def continuation_attention(cache: PagedCache, slot: int, prefix: int, count: int) -> Attend:
    """Attention of continuations of `count` tokens each, side by side behind one prefix; the cache stays."""

    def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        old_keys, old_values = cache.read(layer, slot, prefix)
        rows = []
        for own, new_keys, new_values in zip(
            *(tensor.split(count) for tensor in (queries, keys, values)), strict=True
        ):
            whole_keys = torch.cat([old_keys, new_keys.transpose(0, 1)], dim=1)
            whole_values = torch.cat([old_values, new_values.transpose(0, 1)], dim=1)
            rows.append(_attend_behind(own, whole_keys, whole_values, prefix))
        return torch.cat(rows)

    return attend


def _project(
    weights: DecoderWeights, layer: LayerWeights, x: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    config = weights.config
    qkv = layer.qkv.product(_normed(weights, x, layer.before)).view(len(x), -1, config.head_dim)
    num_heads, num_kv_heads = config.num_attention_heads, config.num_key_value_heads
    queries, keys, values = qkv.split([num_heads, num_kv_heads, num_kv_heads], dim=1)
    queries = _rotated(_normed(weights, queries, layer.queries), cos, sin)
    return queries, _rotated(_normed(weights, keys, layer.keys), cos, sin), values


def _normed(weights: DecoderWeights, x: Tensor, norm: Tensor) -> Tensor:
    return functional.rms_norm(x, norm.shape, norm, weights.config.rms_norm_eps)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The halves of x (N, heads, P) turned against each other in float32."""
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return turned.to(x.dtype)


def _attend_alone(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A sequence from its first token on, (L, H, P) and (L, K, P), to (L, H P)."""
    own, old, what = (tensor.transpose(0, 1)[None] for tensor in (queries, keys, values))
    mixed = functional.scaled_dot_product_attention(own, old, what, is_causal=True, enable_gqa=True)
    return mixed[0].transpose(0, 1).flatten(1)


def _attend_behind(queries: Tensor, keys: Tensor, values: Tensor, start: int) -> Tensor:
    """Queries (L, H, P) at positions from `start` on; keys and values (K, start + L, P), to (L, H P).

    Heads are spread out by hand: kernels that take a mask do not group them.
    """
    group = queries.shape[1] // len(keys)
    places = torch.arange(keys.shape[1], device=keys.device)
    visible = places <= places[start:, None]  # (L, start + L)
    old, what = (tensor.repeat_interleave(group, dim=0)[None] for tensor in (keys, values))
    own = queries.transpose(0, 1)[None]
    mixed = functional.scaled_dot_product_attention(own, old, what, attn_mask=visible)
    return mixed[0].transpose(0, 1).flatten(1)
