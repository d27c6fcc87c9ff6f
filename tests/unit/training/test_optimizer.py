from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from eureka.training.optimizer import MixedOptimizer, OptimizerConfig, orthogonalise

NO_CLIP = 1e9


def _parameter(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return nn.Parameter(values.to(dtype))


def _gradient_of(parameter: nn.Parameter, seed: int) -> Tensor:
    return torch.randn(parameter.shape, generator=torch.Generator().manual_seed(100 + seed))


def _step(optimizer: MixedOptimizer, parameters: list[nn.Parameter], seed: int, scale: float = 1.0) -> float:
    optimizer.zero_grad()
    for number, parameter in enumerate(parameters):
        parameter.grad = _gradient_of(parameter, 10 * seed + number).to(parameter.dtype)
    return optimizer.step(scale)


def _reference_muon(weight: Tensor, gradients: list[Tensor], config: OptimizerConfig) -> Tensor:
    """Momentum with look-ahead, polar factor by Newton-Schulz, one matrix at a time."""
    momentum = torch.zeros_like(weight)
    for gradient in gradients:
        momentum = config.momentum * momentum + (1 - config.momentum) * gradient
        ahead = config.momentum * momentum + (1 - config.momentum) * gradient
        turned = orthogonalise(ahead[None], config.newton_schulz_steps)[0]
        grow = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
        weight = weight - config.matrix_learning_rate * grow * turned
    return weight


@pytest.mark.parametrize("shape", [(3, 24, 16), (3, 16, 24), (1, 16, 16)])
def test_orthogonalise_random_matrices_brings_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    # Lift the smallest singular values, which a few steps cannot reach.
    u, s, vt = torch.linalg.svd(matrices, full_matrices=False)
    matrices = u @ torch.diag_embed(s.clamp_min(0.1 * float(s.max()))) @ vt
    turned = orthogonalise(matrices, steps=5)
    values = torch.linalg.svdvals(turned)
    assert turned.shape == matrices.shape and turned.dtype == torch.float32
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3


def test_orthogonalise_keeps_the_singular_directions() -> None:
    matrix = torch.randn(1, 12, 12, generator=torch.Generator().manual_seed(2))
    u, _, vt = torch.linalg.svd(matrix)
    inner = u.mT @ orthogonalise(matrix, steps=5) @ vt.mT  # diagonal when directions are kept
    outside = inner - torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1))
    assert float(outside.abs().max()) < 0.08  # bf16


def test_optimizer_vectors_move_as_torch_adamw_moves_them() -> None:
    config = OptimizerConfig(other_learning_rate=3e-3, gradient_clip=NO_CLIP)
    ours, theirs = _parameter(7), _parameter(7)
    optimizer = MixedOptimizer([("layer.bias", ours, 1.0)], config)
    reference = torch.optim.AdamW([theirs], lr=3e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    for seed in range(6):
        _step(optimizer, [ours], seed)
        theirs.grad = _gradient_of(theirs, 10 * seed)
        reference.step()
    torch.testing.assert_close(ours, theirs)


def test_optimizer_matrices_move_as_one_by_one_muon() -> None:
    config = OptimizerConfig(gradient_clip=NO_CLIP)
    tall, other_tall, wide = _parameter(12, 8, seed=1), _parameter(12, 8, seed=2), _parameter(8, 12, seed=3)
    expected = [
        _reference_muon(p.detach().clone(), [_gradient_of(p, 10 * s + n) for s in range(3)], config)
        for n, p in enumerate((tall, other_tall, wide))
    ]
    optimizer = MixedOptimizer([("a", tall, 1.0), ("b", other_tall, 1.0), ("c", wide, 1.0)], config)
    for seed in range(3):
        _step(optimizer, [tall, other_tall, wide], seed)
    for parameter, wanted in zip((tall, other_tall, wide), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), wanted, atol=2e-3, rtol=0)


def test_optimizer_experts_move_as_matrices_of_their_own() -> None:
    config = OptimizerConfig(gradient_clip=NO_CLIP)
    bank = _parameter(3, 8, 12)
    gradient = _gradient_of(bank, 0)
    expected = [_reference_muon(bank.detach()[e], [gradient[e]], config) for e in range(3)]
    optimizer = MixedOptimizer([("experts.up_weight", bank, 1.0)], config)
    _step(optimizer, [bank], 0)
    torch.testing.assert_close(bank.detach(), torch.stack(expected), atol=1e-3, rtol=0)


def test_optimizer_convolution_moves_as_one_flat_matrix() -> None:
    config = OptimizerConfig(gradient_clip=NO_CLIP)
    kernel = _parameter(8, 4, 3)
    flat = _reference_muon(kernel.detach().reshape(8, 12), [_gradient_of(kernel, 0).reshape(8, 12)], config)
    _step(MixedOptimizer([("conv1.weight", kernel, 1.0)], config), [kernel], 0)
    torch.testing.assert_close(kernel.detach(), flat.reshape(8, 4, 3), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("name", "is_muon"),
    [
        ("layers.0.fc1.weight", True),
        ("backbone.model.embed_tokens.weight", False),
        ("audio_moe_adaptor.router.weight", False),
        ("heads.phone_head.weight", False),
        ("backbone.lm_head.weight", False),
    ],
)
def test_optimizer_chooses_the_method_by_name(name: str, is_muon: bool) -> None:
    state = MixedOptimizer([(name, _parameter(4, 6), 1.0)], OptimizerConfig()).state_dict()
    assert (state["slots"][name]["second"] is None) == is_muon


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_optimizer_non_finite_gradient_skips_the_update(bad: float) -> None:
    matrix, vector = _parameter(4, 4), _parameter(4)
    optimizer = MixedOptimizer([("w", matrix, 1.0), ("b", vector, 1.0)], OptimizerConfig())
    _step(optimizer, [matrix, vector], 0)
    before = _copied(optimizer.state_dict())
    matrix.grad, vector.grad = torch.ones(4, 4), torch.tensor([1.0, bad, 1.0, 1.0])
    assert not optimizer.step(1.0) < float("inf")
    _assert_same_state(optimizer.state_dict(), before)


def test_optimizer_large_gradient_is_clipped_to_the_same_update() -> None:
    config = OptimizerConfig(gradient_clip=2.0)
    moved = []
    for factor in (1.0, 1000.0):
        vector = nn.Parameter(torch.zeros(2))
        optimizer = MixedOptimizer([("b", vector, 1.0)], config)
        vector.grad = torch.tensor([3.0, 4.0]) * factor
        assert optimizer.step(1.0) == pytest.approx(5.0 * factor)
        moved.append(optimizer.state_dict()["slots"]["b"]["first"].clone())
    torch.testing.assert_close(moved[0], torch.tensor([3.0, 4.0]) * 2 / 5 * 0.1)
    torch.testing.assert_close(moved[1], moved[0])


def test_optimizer_scale_and_rate_factor_multiply_the_step() -> None:
    whole, part = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    optimizer = MixedOptimizer([("a", whole, 1.0), ("b", part, 0.25)], OptimizerConfig(gradient_clip=NO_CLIP))
    whole.grad, part.grad = torch.ones(3), torch.ones(3)
    optimizer.step(0.5)
    torch.testing.assert_close(whole.detach(), torch.full((3,), -1e-3))
    torch.testing.assert_close(part.detach(), torch.full((3,), -2.5e-4))


def test_optimizer_bf16_copy_follows_an_fp32_master() -> None:
    work = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    optimizer = MixedOptimizer([("b", work, 1.0)], OptimizerConfig(other_learning_rate=1e-4))
    for _ in range(3):  # each step is far below the spacing of bf16 at one
        work.grad = torch.ones(4, dtype=torch.bfloat16)
        optimizer.step(1.0)
    master = optimizer.masters()["b"]
    torch.testing.assert_close(master, torch.full((4,), 1 - 3e-4))
    assert torch.equal(work, master.bfloat16())


def test_optimizer_state_taken_up_goes_on_bit_for_bit() -> None:
    first = [_parameter(6, 4), _parameter(5)]
    optimizer = MixedOptimizer([("w", first[0], 1.0), ("b", first[1], 1.0)], OptimizerConfig())
    for seed in range(3):
        _step(optimizer, first, seed)
    second = [_parameter(6, 4, seed=9), _parameter(5, seed=9)]
    resumed = MixedOptimizer([("w", second[0], 1.0), ("b", second[1], 1.0)], OptimizerConfig())
    resumed.load_state_dict(_copied(optimizer.state_dict()))
    assert torch.equal(second[0], first[0]) and torch.equal(second[1], first[1])
    for seed in (3, 4):
        _step(optimizer, first, seed)
        _step(resumed, second, seed)
    _assert_same_state(resumed.state_dict(), optimizer.state_dict())


def test_optimizer_parameter_without_gradient_stays() -> None:
    used, idle = _parameter(3), _parameter(3, seed=1)
    before = idle.detach().clone()
    optimizer = MixedOptimizer([("a", used, 1.0), ("b", idle, 1.0)], OptimizerConfig())
    used.grad = torch.ones(3)
    optimizer.step(1.0)
    assert torch.equal(idle, before)


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    slots = {
        n: {k: None if t is None else t.clone() for k, t in s.items()} for n, s in state["slots"].items()
    }
    return {"num_updates": state["num_updates"], "slots": slots}


def _assert_same_state(state: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert state["num_updates"] == wanted["num_updates"]
    for name, slot in wanted["slots"].items():
        for part, tensor in slot.items():
            other = state["slots"][name][part]
            assert (tensor is None and other is None) or torch.equal(tensor, other), (name, part)
