"""Attention against a slow form, written with loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from eureka.model.attention import additive_mask, fused_attention, plain_attention


def slow_attention(queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
    batch, num_heads, length, head_dim = queries.shape
    group = num_heads // keys.shape[1]
    out = torch.zeros_like(queries)
    for b in range(batch):
        for h in range(num_heads):
            for i in range(length):
                seen = [j for j in range(keys.shape[2]) if visible[b, 0, i, j]]
                key, value = keys[b, h // group, seen], values[b, h // group, seen]
                weights = torch.softmax(key @ queries[b, h, i] * head_dim**-0.5, dim=0)
                out[b, h, i] = weights @ value
    return out


def random_inputs(length: int = 5, num_keys: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(2, 6, length, 8, generator=generator)
    keys = torch.randn(2, 3, num_keys, 8, generator=generator)
    values = torch.randn(2, 3, num_keys, 8, generator=generator)
    visible = torch.rand(2, 1, length, num_keys, generator=generator) < 0.6
    visible[..., 0] = True
    return queries, keys, values, visible


@pytest.mark.parametrize("attention", [plain_attention, fused_attention])
def test_attention_with_grouped_heads_and_mask_equals_slow_form(attention):
    queries, keys, values, visible = random_inputs()
    mask = additive_mask(visible, torch.float32)
    out = attention(queries, keys, values, mask, 8**-0.5)
    torch.testing.assert_close(out, slow_attention(queries, keys, values, visible), rtol=1e-5, atol=1e-6)


def test_attention_row_that_sees_nothing_stays_finite():
    queries, keys, values, visible = random_inputs()
    visible[0, 0, 2] = False
    out = plain_attention(queries, keys, values, additive_mask(visible, torch.float32), 1.0)
    assert out.isfinite().all()


def test_plain_attention_in_bfloat16_accumulates_softmax_in_float32():
    # 4,096 equal scores: a bfloat16 sum would stop at 256 and give weights 16 times too large.
    keys = torch.zeros(1, 1, 4096, 8, dtype=torch.bfloat16)
    values = torch.ones_like(keys)
    out = plain_attention(torch.ones(1, 1, 1, 8, dtype=torch.bfloat16), keys, values, None, 1.0)
    torch.testing.assert_close(out.float(), torch.ones(1, 1, 1, 8), rtol=0.01, atol=0)
