"""Norm layers by name: LayerNorm, RMSNorm or none."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RmsNorm(nn.Module):
    """Divide by the root of the mean square over the last axis, then multiply by the weight.

    Mean square and division in float32, cast back before the weight; eureka-audio section 3.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (..., width)."""
        exact = x.float()
        scaled = exact * torch.rsqrt(exact.square().mean(dim=-1, keepdim=True) + self.eps)
        return scaled.to(x.dtype) * self.weight


def build_norm(kind: str, width: int, layer_norm_eps: float, rms_norm_eps: float) -> nn.Module:
    """The norm layer called `kind` (`none` gives the identity)."""
    if kind == "layer_norm":
        return nn.LayerNorm(width, eps=layer_norm_eps)
    if kind == "rms_norm":
        return RmsNorm(width, rms_norm_eps)
    return nn.Identity()
