"""Scaled dot-product attention, shared by encoder and decoder.

Two forms of the same function: plain matrix products (fastest on CPU, forward and backward) and torch's
fused kernel (for GPUs). Tensor letters in model/: B batch, M mel bins, F mel frames, T encoder frames or
cached keys, A audio tokens, L text positions, D width, H heads, K kv heads, P head width, E experts, N flat
tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

AttentionFunction = Callable[[Tensor, Tensor, Tensor, Tensor | None, float], Tensor]


def additive_mask(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a bool mask (True = may be seen) into one that is added to scores.

    Hidden places get the most negative finite number: a row that sees nothing becomes uniform, never NaN.
    """
    zeros = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return zeros.masked_fill_(~visible, torch.finfo(dtype).min)


def plain_attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float
) -> Tensor:
    """Attention as two matrix products and a softmax.

    The scale goes to the queries only. torch's softmax accumulates in float32 whatever the input dtype.

    Args:
        queries: (B, H, L, P).
        keys: (B, K, T, P), H a multiple of K; query head h reads kv head h // (H / K).
        values: (B, K, T, P).
        mask: additive, broadcastable to (B, 1, L, T), or None.
        scale: factor on the queries.

    Returns:
        (B, H, L, P).
    """
    batch, num_heads, length, head_dim = queries.shape
    num_kv_heads, num_keys = keys.shape[1], keys.shape[2]
    group = num_heads // num_kv_heads
    rows = (queries * scale).reshape(batch, num_kv_heads, group * length, head_dim)
    scores = rows @ keys.transpose(-1, -2)  # (B, K, G*L, T)
    if mask is not None:
        grouped = scores.view(batch, num_kv_heads, group, length, num_keys)
        scores = (grouped + mask.unsqueeze(2)).view(batch, num_kv_heads, group * length, num_keys)
    mixed = scores.softmax(dim=-1) @ values  # (B, K, G*L, P)
    return mixed.view(batch, num_heads, length, head_dim)


def fused_attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float
) -> Tensor:
    """The same function through torch's scaled_dot_product_attention; arguments as `plain_attention`."""
    grouped = queries.shape[1] != keys.shape[1]
    return functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, scale=scale, enable_gqa=grouped
    )
