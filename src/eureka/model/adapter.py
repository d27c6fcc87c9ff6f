"""The sparse mixture-of-experts adapter: stacked encoder frames to decoder embeddings, token by token.

eureka-audio section 4.1: y = LN(W_P * sum over the selected experts of gate_i * E_i(x)). The module is built
from an `AdapterSpec`; experts lie stacked along their first axis whatever a checkpoint calls them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from eureka.model.adapter_spec import AdapterSpec
from eureka.model.norms import build_norm, divide_by_rms

DENSE_HIDDEN_LIMIT = 4096
"""Hidden width summed over all experts up to which one product over all of them beats sorting tokens."""

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "relu": functional.relu,
    "none": lambda x: x,
}


class AdapterOutput(NamedTuple):
    """What the adapter made of N audio tokens.

    Attributes:
        audio_embeddings: (N, W).
        router_probabilities: (N, E) float32, softmax over all experts before selection.
        selected: (N, k) int64, experts that served each token, best first.
        gates: (N, k) float32, weight of each of them.
    """

    audio_embeddings: Tensor
    router_probabilities: Tensor
    selected: Tensor
    gates: Tensor


class Router(nn.Module):
    """One linear to a logit per expert, with an optional bias that only decides selection."""

    def __init__(self, spec: AdapterSpec) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(spec.num_experts, spec.input_size))
        self.bias = nn.Parameter(torch.zeros(spec.num_experts)) if spec.router_bias else None
        self.correction_bias = nn.Parameter(torch.zeros(spec.num_experts)) if spec.correction_bias else None
        self.spec = spec

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Choose experts for tokens (N, D).

        Returns:
            gates (N, k) float32, selected (N, k) int64, probabilities (N, E) float32.
        """
        logits = functional.linear(tokens, self.weight, self.bias).float()  # (N, E)
        probabilities = logits.softmax(dim=-1)
        is_early = self.spec.routing_order == "select_then_softmax"
        scores = logits if is_early else probabilities
        ranked = scores if self.correction_bias is None else scores + self.correction_bias.float()
        selected = ranked.topk(self.spec.top_k, dim=-1).indices  # (N, k)
        gates = scores.gather(-1, selected)
        if is_early:
            gates = gates.softmax(dim=-1)
        elif self.spec.renormalise:
            gates = gates / gates.sum(dim=-1, keepdim=True)
        return gates, selected, probabilities


class ExpertBank(nn.Module):
    """Feed-forward experts of equal shape, stacked along the first axis.

    Weights: up_weight and gate_weight (E, H, D), down_weight (E, O, H); biases (E, H) and (E, O); norms
    inside an expert are (E, width) and applied by `_normalise`.
    """

    def __init__(self, spec: AdapterSpec, count: int, hidden_size: int) -> None:
        super().__init__()
        self.spec, self.count = spec, count
        width_in, width_out = spec.input_size, spec.expert_output_size
        self.up_weight = nn.Parameter(torch.empty(count, hidden_size, width_in))
        self.up_bias = _bias(spec.expert_up_bias, count, hidden_size)
        is_gated = spec.is_gated
        self.gate_weight = nn.Parameter(torch.empty(count, hidden_size, width_in)) if is_gated else None
        self.gate_bias = _bias(is_gated and spec.expert_up_bias, count, hidden_size)
        self.down_weight = nn.Parameter(torch.empty(count, width_out, hidden_size))
        self.down_bias = _bias(spec.expert_down_bias, count, width_out)
        self._add_norm("input_norm", spec.expert_input_norm, width_in)
        self._add_norm("hidden_norm", spec.expert_hidden_norm, hidden_size)
        self._add_norm("output_norm", spec.expert_output_norm, width_out)
        self._activation = _ACTIVATIONS[spec.activation]

    def forward(self, tokens: Tensor, gates: Tensor) -> Tensor:
        """Weighted sum of all experts: tokens (N, D), gates (N, E) with zeros for unselected -> (N, O).

        Without norms inside the experts this is two matrix products over the joined experts.
        """
        gates = gates.to(tokens.dtype)
        hidden = self._hidden_of_all(tokens)  # (N, E, H)
        if self.spec.expert_output_norm == "none":
            joined = (hidden * gates[..., None]).flatten(1)  # (N, E*H)
            weight = self.down_weight.permute(1, 0, 2).flatten(1)  # (O, E*H)
            out = functional.linear(joined, weight)
            return out if self.down_bias is None else out + gates @ self.down_bias
        each = torch.einsum("neh,eoh->neo", hidden, self.down_weight)
        if self.down_bias is not None:
            each = each + self.down_bias
        each = self._normalise("output_norm", self.spec.expert_output_norm, each, slice(None))
        return (each * gates[..., None]).sum(dim=1)

    def sorted_sum(self, tokens: Tensor, gates: Tensor, selected: Tensor) -> Tensor:
        """The same sum, each expert reading only its own tokens: gates and selected (N, k) -> (N, O)."""
        order = selected.flatten().argsort(stable=True)  # (N*k,)
        rows = order // selected.shape[1]
        counts = torch.bincount(selected.flatten(), minlength=self.count).tolist()
        weights = gates.flatten()[order].to(tokens.dtype)
        parts = torch.split(tokens[rows], counts)
        outputs = torch.cat([self.expert(i, part) for i, part in enumerate(parts) if len(part)])
        out = tokens.new_zeros(len(tokens), self.spec.expert_output_size)
        return out.index_add_(0, rows, outputs * weights[:, None])

    def expert(self, index: int, tokens: Tensor) -> Tensor:
        """One expert on tokens (N, D) -> (N, O)."""
        spec = self.spec
        tokens = self._normalise("input_norm", spec.expert_input_norm, tokens, index)
        hidden = functional.linear(tokens, self.up_weight[index], _row(self.up_bias, index))
        if self.gate_weight is not None:
            gate = functional.linear(tokens, self.gate_weight[index], _row(self.gate_bias, index))
            hidden = self._activation(gate) * hidden
        else:
            hidden = self._activation(hidden)
        hidden = self._normalise("hidden_norm", spec.expert_hidden_norm, hidden, index)
        out = functional.linear(hidden, self.down_weight[index], _row(self.down_bias, index))
        return self._normalise("output_norm", spec.expert_output_norm, out, index)

    def _hidden_of_all(self, tokens: Tensor) -> Tensor:
        spec = self.spec
        if spec.expert_input_norm != "none":
            spread = tokens[:, None].expand(-1, self.count, -1)
            tokens = self._normalise("input_norm", spec.expert_input_norm, spread, slice(None))  # (N, E, D)
        hidden = _project_all(tokens, self.up_weight, self.up_bias)
        if self.gate_weight is not None:
            hidden = self._activation(_project_all(tokens, self.gate_weight, self.gate_bias)) * hidden
        else:
            hidden = self._activation(hidden)
        return self._normalise("hidden_norm", spec.expert_hidden_norm, hidden, slice(None))

    def _add_norm(self, name: str, kind: str, width: int) -> None:
        weight = None if kind == "none" else nn.Parameter(torch.ones(self.count, width))
        self.register_parameter(f"{name}_weight", weight)
        self.register_parameter(f"{name}_bias", _bias(kind == "layer_norm", self.count, width))

    def _normalise(self, name: str, kind: str, x: Tensor, index: int | slice) -> Tensor:
        if kind == "none":
            return x
        weight: Tensor = getattr(self, f"{name}_weight")[index]
        if kind == "rms_norm":
            return divide_by_rms(x, self.spec.rms_norm_eps) * weight
        bias: Tensor = getattr(self, f"{name}_bias")[index]
        return functional.layer_norm(x, x.shape[-1:], eps=self.spec.layer_norm_eps) * weight + bias


class MoeAdapter(nn.Module):
    """Router, experts, shared experts, projection and norms as an `AdapterSpec` says."""

    def __init__(self, spec: AdapterSpec) -> None:
        super().__init__()
        self.spec = spec
        self.input_norm = self._norm(spec.input_norm, spec.input_size)
        self.router = Router(spec)
        self.experts = ExpertBank(spec, spec.num_experts, spec.expert_hidden_size)
        shared = ExpertBank(spec, spec.num_shared_experts, spec.shared_hidden_size)
        self.shared_experts = shared if spec.num_shared_experts else None
        self.mixed_norm = self._norm(spec.mixed_norm, spec.expert_output_size)
        widths = (spec.expert_output_size, *spec.projection_sizes)
        self.projection = nn.ModuleList(
            nn.Linear(before, after, bias=spec.projection_bias)
            for before, after in itertools.pairwise(widths)
        )
        between = spec.projection_sizes[0] if len(spec.projection_sizes) > 1 else 0
        self.projection_norm = self._norm(spec.projection_norm, between)
        self.output_norm = self._norm(spec.output_norm, spec.output_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embeddings (N, W) of stacked audio tokens (N, D)."""
        return self.route(tokens).audio_embeddings

    def route(self, tokens: Tensor) -> AdapterOutput:
        """Embeddings of stacked audio tokens (N, D), and which experts made them."""
        tokens = self.input_norm(tokens)
        gates, selected, probabilities = self.router(tokens)
        mixed = self._mix(tokens, gates, selected)
        shared = self._shared(tokens)
        if shared is not None and self.spec.shared_place == "before_projection":
            mixed = mixed + shared
        out = self._project(self.mixed_norm(mixed))
        if shared is not None and self.spec.shared_place == "after_projection":
            out = out + shared
        return AdapterOutput(self.output_norm(out), probabilities, selected, gates)

    def set_output_scale(self, scale: float) -> None:
        """Set every weight of the output norm to `scale`, the size of fresh audio embeddings."""
        nn.init.constant_(self.output_norm.get_parameter("weight"), scale)

    def reset_parameters(self) -> None:
        """Draw fresh weights: matrices by fan-in, the router small, biases zero, norms one."""
        for name, parameter in self.named_parameters():
            if name.endswith("norm.weight") or name.endswith("norm_weight"):
                nn.init.ones_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                std = 0.02 if name == "router.weight" else 1 / math.sqrt(parameter.shape[-1])
                nn.init.normal_(parameter, std=std)

    def _mix(self, tokens: Tensor, gates: Tensor, selected: Tensor) -> Tensor:
        spec = self.spec
        is_small = spec.num_experts * spec.expert_hidden_size <= DENSE_HIDDEN_LIMIT
        if not (is_small or torch.is_grad_enabled()):
            return self.experts.sorted_sum(tokens, gates, selected)
        spread = gates.new_zeros(len(tokens), spec.num_experts).scatter(1, selected, gates)
        mixed: Tensor = self.experts(tokens, spread)
        return mixed

    def _shared(self, tokens: Tensor) -> Tensor | None:
        if self.shared_experts is None:
            return None
        gates = tokens.new_ones(len(tokens), self.spec.num_shared_experts)
        shared: Tensor = self.shared_experts(tokens, gates)
        return shared

    def _project(self, mixed: Tensor) -> Tensor:
        activation = _ACTIVATIONS[self.spec.projection_activation]
        for index, linear in enumerate(self.projection):
            if index:
                mixed = self.projection_norm(activation(mixed))
            mixed = linear(mixed)
        return mixed

    def _norm(self, kind: str, width: int) -> nn.Module:
        return build_norm(kind, width, self.spec.layer_norm_eps, self.spec.rms_norm_eps)


def build_adapter(spec: AdapterSpec) -> MoeAdapter:
    """A new adapter with fresh weights."""
    adapter = MoeAdapter(spec)
    adapter.reset_parameters()
    return adapter


def _bias(is_present: bool, count: int, width: int) -> nn.Parameter | None:
    return nn.Parameter(torch.zeros(count, width)) if is_present else None


def _row(bias: Tensor | None, index: int) -> Tensor | None:
    return None if bias is None else bias[index]


def _project_all(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Every expert's linear: tokens (N, D) shared or (N, E, D) own, weight (E, H, D) -> (N, E, H)."""
    if tokens.dim() == 2:
        joined = functional.linear(tokens, weight.flatten(0, 1), None if bias is None else bias.flatten())
        return joined.view(len(tokens), *weight.shape[:2])
    own = torch.einsum("ned,ehd->neh", tokens, weight)
    return own if bias is None else own + bias
