"""Norm layers by name: LayerNorm, RMSNorm or none."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def divide_by_rms(x: Tensor, eps: float) -> Tensor:
    """Divide x (..., D) by the root of its mean square along D, in float32; the result has x's dtype."""
    exact = x.float()
    return (exact * torch.rsqrt(exact.square().mean(dim=-1, keepdim=True) + eps)).to(x.dtype)


class RmsNorm(nn.Module):
    """Divide by the root of the mean square over the last axis, then multiply by the weight.

    The cast back from float32 comes before the weight; eureka-audio section 3.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (..., width)."""
        return divide_by_rms(x, self.eps) * self.weight


def build_norm(kind: str, width: int, layer_norm_eps: float, rms_norm_eps: float) -> nn.Module:
    """The norm layer called `kind` (`none` gives the identity)."""
    if kind == "layer_norm":
        return nn.LayerNorm(width, eps=layer_norm_eps)
    if kind == "rms_norm":
        return RmsNorm(width, rms_norm_eps)
    return nn.Identity()
