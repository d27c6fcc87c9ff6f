"""Muon for matrices and AdamW for the rest, over fp32 masters of a bf16 working copy.

The working model computes in its own dtype (bf16 where the CPU or GPU has it); gradients are taken
to fp32, the masters are moved, and the working copy is overwritten. Source: training recipe of the
nano model card; Muon after Jordan et al. 2024 (momentum, then orthogonalised by Newton-Schulz).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Quintic Newton-Schulz whose slope at zero is steep: singular values land in about [0.7, 1.2]."""


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """Learning rates and momenta; the schedule multiplies both rates.

    `weight_decay` shrinks matrices only; vectors, embeddings and heads are never shrunk.
    """

    matrix_learning_rate: float = 0.02
    other_learning_rate: float = 2e-3
    momentum: float = 0.95
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.0
    gradient_clip: float = 2.0
    newton_schulz_steps: int = 4


@dataclass(slots=True)
class _Slot:
    """One trained tensor: its working copy, master, and optimiser state."""

    name: str
    work: nn.Parameter
    master: Tensor
    first: Tensor
    second: Tensor | None
    rate: float


def orthogonalise(matrices: Tensor, steps: int) -> Tensor:
    """Push the singular values of each matrix (N, R, C) towards one; computed in bf16, which suffices."""
    a, b, c = _NS_COEFFICIENTS
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if is_tall else matrices).bfloat16()  # (N, short, long)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    turned: Tensor = x.mT if is_tall else x
    return turned.float()


class MixedOptimizer:
    """Steps the masters of named parameters and refreshes the working copies.

    Args:
        parameters: (name, parameter, rate factor) of everything that trains; a matrix whose name
            holds `embed` or ends in `head.weight` is moved by AdamW like the vectors.
        config: rates and momenta.
    """

    def __init__(
        self, parameters: Iterable[tuple[str, nn.Parameter, float]], config: OptimizerConfig
    ) -> None:
        self.config = config
        self.num_updates = 0
        self._matrices: dict[tuple[int, ...], list[_Slot]] = defaultdict(list)
        self._others: list[_Slot] = []
        for name, parameter, rate in parameters:
            self._add(name, parameter, rate)

    def _add(self, name: str, parameter: nn.Parameter, rate: float) -> None:
        master = parameter.detach().float().clone()
        is_matrix = _is_muon_matrix(name, parameter)
        second = None if is_matrix else torch.zeros_like(master)
        slot = _Slot(name, parameter, master, torch.zeros_like(master), second, rate)
        if is_matrix:
            self._matrices[_flat_shape(parameter)].append(slot)
        else:
            self._others.append(slot)

    @property
    def _slots(self) -> list[_Slot]:
        return [s for group in self._matrices.values() for s in group] + self._others

    def zero_grad(self) -> None:
        """Drop the gradients of the working copies."""
        for slot in self._slots:
            slot.work.grad = None

    @torch.no_grad()
    def step(self, scale: float) -> float:
        """Move everything by one update.

        Args:
            scale: factor of the schedule on both learning rates.

        Returns:
            The gradient norm before clipping; a non-finite one skips the update.
        """
        trained = [s for s in self._slots if s.work.grad is not None]
        gradients = [s.work.grad.float() for s in trained if s.work.grad is not None]
        norm = float(torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients])))
        if not norm < float("inf"):
            return norm
        factor = min(1.0, self.config.gradient_clip / (norm + 1e-6))
        by_slot = {id(s): g * factor for s, g in zip(trained, gradients, strict=True)}
        self.num_updates += 1
        for group in self._matrices.values():
            self._step_matrices([s for s in group if id(s) in by_slot], by_slot, scale)
        for slot in self._others:
            if id(slot) in by_slot:
                self._step_other(slot, by_slot[id(slot)], scale)
        for slot in trained:
            slot.work.copy_(slot.master)
        return norm

    def _step_matrices(self, slots: list[_Slot], gradients: dict[int, Tensor], scale: float) -> None:
        if not slots:
            return
        shape = _flat_shape(slots[0].work)
        for slot in slots:
            slot.first.lerp_(gradients[id(slot)], 1 - self.config.momentum)
        looked_ahead = [gradients[id(s)].lerp(s.first, self.config.momentum) for s in slots]  # Nesterov
        stacked = torch.stack([g.reshape(-1, *shape[-2:]) for g in looked_ahead])  # (N, G, R, C)
        turned = orthogonalise(stacked.flatten(0, 1), self.config.newton_schulz_steps).view_as(stacked)
        grow = max(1.0, shape[-2] / shape[-1]) ** 0.5
        for slot, update in zip(slots, turned, strict=True):
            rate = self.config.matrix_learning_rate * scale * slot.rate
            slot.master.mul_(1 - rate * self.config.weight_decay)
            slot.master.sub_(update.reshape(slot.master.shape), alpha=rate * grow)

    def _step_other(self, slot: _Slot, gradient: Tensor, scale: float) -> None:
        assert slot.second is not None
        beta1, beta2 = self.config.beta1, self.config.beta2
        slot.first.lerp_(gradient, 1 - beta1)
        slot.second.lerp_(gradient.square(), 1 - beta2)
        mean = slot.first / (1 - beta1**self.num_updates)
        spread = (slot.second / (1 - beta2**self.num_updates)).sqrt_().add_(1e-8)
        slot.master.addcdiv_(mean, spread, value=-self.config.other_learning_rate * scale * slot.rate)

    def state_dict(self) -> dict[str, Any]:
        """Masters and momenta by parameter name."""
        states = {s.name: {"master": s.master, "first": s.first, "second": s.second} for s in self._slots}
        return {"num_updates": self.num_updates, "slots": states}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up masters and momenta, and refresh the working copies."""
        self.num_updates = state["num_updates"]
        for slot in self._slots:
            saved = state["slots"][slot.name]
            slot.master.copy_(saved["master"])
            slot.first.copy_(saved["first"])
            if slot.second is not None:
                slot.second.copy_(saved["second"])
            slot.work.copy_(slot.master)

    def masters(self) -> dict[str, Tensor]:
        """The fp32 values of the trained parameters, by name."""
        return {s.name: s.master for s in self._slots}


def _is_muon_matrix(name: str, parameter: nn.Parameter) -> bool:
    if parameter.ndim < 2 or "embed" in name or "router" in name:
        return False
    return not name.endswith("head.weight")


def _flat_shape(parameter: nn.Parameter) -> tuple[int, ...]:
    """(R, C) of a matrix, (R, C*K) of a convolution, (E, R, C) of stacked experts."""
    if parameter.ndim == 3 and parameter.shape[-1] <= 5:  # Conv1d kernel
        return parameter.shape[0], parameter.shape[1] * parameter.shape[2]
    return tuple(parameter.shape)
