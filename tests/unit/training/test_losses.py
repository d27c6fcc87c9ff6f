from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from eureka.training.losses import (
    IGNORED,
    balance_loss,
    frame_event_loss,
    frame_phone_loss,
    next_token_loss,
)


def _logits(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _cross_entropy(logits: list[float], target: int, smoothing: float = 0.0) -> float:
    """-sum_c q(c) log p(c) in plain floats, q being the smoothed target."""
    total = sum(math.exp(x) for x in logits)
    log_p = [x - math.log(total) for x in logits]
    q = [smoothing / len(logits) + (1 - smoothing) * (c == target) for c in range(len(logits))]
    return -sum(a * b for a, b in zip(q, log_p, strict=True))


def test_next_token_loss_equals_the_definition() -> None:
    logits, targets = _logits(4, 6), torch.tensor([0, 5, 2, 2])
    wanted = sum(_cross_entropy(row, int(t)) for row, t in zip(logits.tolist(), targets, strict=True)) / 4
    assert float(next_token_loss(logits, targets)) == pytest.approx(wanted, rel=1e-5)


def test_next_token_loss_of_bf16_logits_is_computed_in_fp32() -> None:
    logits = (_logits(4, 6) * 20).bfloat16()
    assert next_token_loss(logits, torch.tensor([0, 1, 2, 3])).dtype == torch.float32


def test_balance_loss_at_perfect_balance_is_one() -> None:
    probabilities = torch.full((8, 4), 0.25)
    selected = torch.arange(16).remainder(4).reshape(8, 2)
    assert float(balance_loss(probabilities, selected)) == pytest.approx(1.0)


def test_balance_loss_at_collapse_is_the_number_of_experts() -> None:
    probabilities = torch.zeros(8, 4)
    probabilities[:, 1] = 1.0
    assert float(balance_loss(probabilities, torch.ones(8, 1, dtype=torch.int64))) == pytest.approx(4.0)


def test_balance_loss_equals_the_definition() -> None:
    probabilities = _logits(10, 5).softmax(-1)
    selected = probabilities.topk(2).indices
    wanted = 0.0
    for expert in range(5):
        share = sum(expert in row for row in selected.tolist()) / (10 * 2)
        wanted += 5 * share * sum(row[expert] for row in probabilities.tolist()) / 10
    assert float(balance_loss(probabilities, selected)) == pytest.approx(wanted, rel=1e-5)


def test_balance_loss_gradient_flows_through_probabilities_only() -> None:
    probabilities = _logits(6, 3).softmax(-1).requires_grad_()
    selected = torch.tensor([[0], [0], [0], [1], [1], [2]])
    balance_loss(probabilities, selected).backward()
    # E * share_e / N: what a constant share gives
    wanted = torch.tensor([3 / 6, 2 / 6, 1 / 6]) * 3 / 6
    assert probabilities.grad is not None
    torch.testing.assert_close(probabilities.grad, wanted.expand(6, 3))


def test_frame_phone_loss_leaves_out_unknown_frames() -> None:
    logits, labels = _logits(2, 3, 5), torch.tensor([[1, IGNORED, 4], [IGNORED, IGNORED, 0]])
    known = [(0, 0, 1), (0, 2, 4), (1, 2, 0)]
    wanted = sum(_cross_entropy(logits[b, t].tolist(), c, 0.05) for b, t, c in known) / 3
    assert float(frame_phone_loss(logits, labels, 0.05)) == pytest.approx(wanted, rel=1e-5)


def test_frame_phone_loss_without_labels_is_zero_with_zero_gradient() -> None:
    logits = _logits(2, 3, 5).requires_grad_()
    loss = frame_phone_loss(logits, torch.full((2, 3), IGNORED))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert logits.grad is not None and not logits.grad.any()


def test_frame_event_loss_equals_the_definition_over_known_places() -> None:
    logits, labels = _logits(2, 3, 4), (_logits(2, 3, 4, seed=1) > 0).float()
    mask = (_logits(2, 3, 4, seed=2) > 0).float()
    total = count = 0.0
    for x, y, m in zip(*(t.flatten().tolist() for t in (logits, labels, mask)), strict=True):
        p = 1 / (1 + math.exp(-x))
        total -= m * (y * math.log(p) + (1 - y) * math.log(1 - p))
        count += m
    assert float(frame_event_loss(logits, labels, mask)) == pytest.approx(total / count, rel=1e-5)


def test_frame_event_loss_with_nothing_known_is_zero() -> None:
    zeros = torch.zeros(1, 2, 3)
    assert float(frame_event_loss(_logits(1, 2, 3), zeros, zeros)) == 0.0
