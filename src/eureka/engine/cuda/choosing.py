"""The choice of next tokens on the device: penalty, greedy or drawn; shapes are fixed, and nothing waits.

A graph takes no numbers from the host, so that fixed ones go in by `masked_fill`, never by `where`. The rules
are those of `engine.sampler`, which chooses where a request asks for more than these.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NO_TOKEN = -1
"""Stands for an id where a row had ended before, or its logits are no numbers."""

MOST_TOP_K = 256
"""Logits that are looked at for the k-th largest; requests that keep more go to the sampler."""

_OUT = float("-inf")


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """How each row's token is chosen; (B,) each.

    Attributes:
        penalty: float32, on ids that were seen; 1 for none.
        temperature: float32; 0 takes the largest.
        top_k: int64, at most MOST_TOP_K; 0 for all.
    """

    penalty: Tensor
    temperature: Tensor
    top_k: Tensor


def penalised(logits: Tensor, seen: Tensor, penalty: Tensor) -> Tensor:
    """Logits (B, V) float32, those of ids seen (B, V) divided by the row's penalty, or multiplied below 0."""
    factor = penalty[:, None]
    return torch.where(seen, torch.where(logits > 0, logits / factor, logits * factor), logits)


def are_numbers(logits: Tensor) -> Tensor:
    """(B,) whether nothing in a row (V,) is NaN or +inf, and not all of it -inf."""
    return logits.amax(dim=-1).isfinite()


def drawn(scores: Tensor, rules: Rules, draws: Tensor) -> Tensor:
    """One id (B,) of each row of scores (B, V) by its draw (B,) float64; the largest where temperature is 0.

    By inverting the cumulative sum over ids in their order, in float64, as the sampler does.
    """
    heat = rules.temperature.masked_fill(rules.temperature <= 0, 1.0)
    scaled = scores / heat[:, None]
    scaled = scaled.masked_fill(scaled < _least_kept(scaled, rules.top_k)[:, None], _OUT)
    weights = scaled.double().sub(scaled.amax(dim=-1, keepdim=True).double()).exp()
    cumulative = weights.cumsum(dim=-1)
    target = draws[:, None] * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, target, right=True)[:, 0]
    last = scores.shape[1] - 1 - (weights > 0).flip(-1).int().argmax(dim=-1)  # behind it nothing can be drawn
    return torch.where(rules.temperature > 0, torch.minimum(chosen, last), scores.argmax(dim=-1))


def _least_kept(scaled: Tensor, top_k: Tensor) -> Tensor:
    """(B,) the k-th largest of each row, whose equals stay; -inf where all do."""
    most = min(MOST_TOP_K, scaled.shape[1])
    largest = scaled.topk(most, dim=-1).values
    kth = largest.gather(1, (top_k.clamp(1, most) - 1)[:, None])[:, 0]
    is_whole = (top_k == 0) | (top_k >= scaled.shape[1])
    return kth.masked_fill(is_whole, _OUT)
