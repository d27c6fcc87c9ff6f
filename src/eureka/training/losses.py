"""Training losses: next token, expert balance, frame phones and frame events.

Source: eureka-audio paper, section on training, for `L = L_NTP + lambda * L_aux`; the frame losses are
auxiliary heads of the small model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""Label of a position without a target."""


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in fp32 of logits (N, V) against token ids (N,)."""
    return F.cross_entropy(logits.float(), targets)


def balance_loss(probabilities: Tensor, selected: Tensor) -> Tensor:
    """Load-balance loss `E * sum_e mean_probability_e * assigned_share_e`; 1 at perfect balance.

    Args:
        probabilities: router softmax over all experts, (N, E).
        selected: chosen experts, (N, k) int64; a count, so the gradient flows through the
            probabilities only.
    """
    num_experts = probabilities.shape[-1]
    counts = torch.bincount(selected.flatten(), minlength=num_experts).to(probabilities.dtype)
    share = counts / counts.sum()
    return num_experts * (probabilities.mean(dim=0) * share).sum()


def frame_phone_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.05) -> Tensor:
    """Cross-entropy of frame phones: logits (B, T, C), labels (B, T) with IGNORED where unknown."""
    if not bool((labels != IGNORED).any()):
        return logits.float().sum() * 0.0
    flat = logits.float().flatten(0, 1)
    return F.cross_entropy(flat, labels.flatten(), ignore_index=IGNORED, label_smoothing=smoothing)


def frame_event_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of frame events: logits, labels and mask of what is known, (B, T, C)."""
    each = F.binary_cross_entropy_with_logits(logits.float(), labels, reduction="none")
    return (each * mask).sum() / mask.sum().clamp_min(1.0)
