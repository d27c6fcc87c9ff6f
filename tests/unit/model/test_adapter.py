"""The MoE adapter against a slow form that serves one token and one expert at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from eureka.model import adapter as adapter_module
from eureka.model.adapter import ExpertBank, MoeAdapter, build_adapter
from eureka.model.adapter_spec import AdapterSpec
from tests.helpers.synthetic_checkpoint import TINY_SPEC, tiny_model

SPECS = {
    "papers": TINY_SPEC,
    "gated": replace(TINY_SPEC, is_gated=True, activation="gelu"),
    "late softmax": replace(TINY_SPEC, routing_order="softmax_then_select", renormalise=False),
    "late, renormalised": replace(TINY_SPEC, routing_order="softmax_then_select", correction_bias=True),
    "biased router": replace(TINY_SPEC, router_bias=True, correction_bias=True, expert_up_bias=False),
    "shared before": replace(TINY_SPEC, num_shared_experts=2, shared_hidden_size=12),
    "norms inside": replace(
        TINY_SPEC,
        expert_input_norm="rms_norm",
        expert_hidden_norm="layer_norm",
        expert_output_norm="rms_norm",
    ),
    "norms around, two linears": replace(
        TINY_SPEC,
        input_norm="layer_norm",
        mixed_norm="rms_norm",
        projection_sizes=(56, 48),
        projection_activation="silu",
        projection_norm="layer_norm",
        projection_bias=False,
    ),
    "shared after, no projection": replace(
        TINY_SPEC,
        expert_output_size=48,
        projection_sizes=(),
        num_shared_experts=1,
        shared_hidden_size=20,
        shared_place="after_projection",
        output_norm="rms_norm",
    ),
}

ACTIVATIONS = {"silu": functional.silu, "gelu": functional.gelu, "none": lambda x: x}


def slow_norm(kind: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, spec: AdapterSpec) -> Tensor:
    if kind == "none":
        return x
    if kind == "rms_norm":
        return x / (x.square().mean() + spec.rms_norm_eps).sqrt() * weight
    centred = x - x.mean()
    return centred / (centred.square().mean() + spec.layer_norm_eps).sqrt() * weight + bias


def slow_expert(bank: ExpertBank, i: int, x: Tensor, spec: AdapterSpec) -> Tensor:
    own = {name: parameter[i] for name, parameter in bank.named_parameters()}

    def norm(place: str, kind: str, value: Tensor) -> Tensor:
        return slow_norm(kind, value, own.get(f"{place}_weight"), own.get(f"{place}_bias"), spec)

    x = norm("input_norm", spec.expert_input_norm, x)
    hidden = own["up_weight"] @ x + own.get("up_bias", 0)
    if spec.is_gated:
        gate = own["gate_weight"] @ x + own.get("gate_bias", 0)
        hidden = ACTIVATIONS[spec.activation](gate) * hidden
    else:
        hidden = ACTIVATIONS[spec.activation](hidden)
    hidden = norm("hidden_norm", spec.expert_hidden_norm, hidden)
    return norm("output_norm", spec.expert_output_norm, own["down_weight"] @ hidden + own.get("down_bias", 0))


def slow_gates(adapter: MoeAdapter, x: Tensor) -> list[tuple[int, Tensor]]:
    spec, router = adapter.spec, adapter.router
    logits = router.weight @ x + (router.bias if router.bias is not None else 0)
    is_early = spec.routing_order == "select_then_softmax"
    scores = logits if is_early else logits.softmax(0)
    ranked = scores + (router.correction_bias if router.correction_bias is not None else 0)
    chosen = sorted(range(spec.num_experts), key=lambda e: -ranked[e].item())[: spec.top_k]
    gates = scores[chosen]
    if is_early:
        gates = gates.softmax(0)
    elif spec.renormalise:
        gates = gates / gates.sum()
    return list(zip(chosen, gates, strict=True))


def slow_adapter(adapter: MoeAdapter, tokens: Tensor) -> Tensor:
    spec, rows = adapter.spec, []

    def norm(name: str, value: Tensor) -> Tensor:
        module = dict(adapter.get_submodule(name).named_parameters())
        return slow_norm(getattr(spec, name), value, module.get("weight"), module.get("bias"), spec)

    for token in tokens:
        x = norm("input_norm", token)
        mixed = sum(gate * slow_expert(adapter.experts, e, x, spec) for e, gate in slow_gates(adapter, x))
        shared = sum(
            (slow_expert(adapter.shared_experts, i, x, spec) for i in range(spec.num_shared_experts)),
            torch.zeros(1),
        )
        y = norm("mixed_norm", mixed + shared if spec.shared_place == "before_projection" else mixed)
        for i, linear in enumerate(adapter.projection):
            if i:
                y = norm("projection_norm", ACTIVATIONS[spec.projection_activation](y))
            y = linear.weight @ y + (linear.bias if linear.bias is not None else 0)
        y = y + shared if spec.shared_place == "after_projection" else y
        rows.append(norm("output_norm", y))
    return torch.stack(rows)


def random_adapter(spec: AdapterSpec) -> MoeAdapter:
    return tiny_model(spec, seed=5).audio_moe_adaptor


def random_tokens(count: int = 19) -> Tensor:
    return torch.randn(count, 128, generator=torch.Generator().manual_seed(6))


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("is_dense", [True, False])
def test_adapter_equals_slow_form(name, is_dense, monkeypatch):
    monkeypatch.setattr(adapter_module, "DENSE_HIDDEN_LIMIT", 10**9 if is_dense else 0)
    adapter, tokens = random_adapter(SPECS[name]), random_tokens()
    with torch.no_grad():
        torch.testing.assert_close(adapter(tokens), slow_adapter(adapter, tokens), rtol=1e-4, atol=1e-5)


def test_route_tells_probabilities_and_selection():
    adapter, tokens = random_adapter(TINY_SPEC), random_tokens()
    out = adapter.route(tokens)
    torch.testing.assert_close(out.router_probabilities.sum(-1), torch.ones(19))
    torch.testing.assert_close(out.router_probabilities, (tokens @ adapter.router.weight.T).softmax(-1))
    assert torch.equal(out.selected, out.router_probabilities.topk(2).indices)
    assert torch.equal(out.audio_embeddings, adapter(tokens))


def test_correction_bias_changes_selection_and_not_gates():
    spec = replace(TINY_SPEC, correction_bias=True, routing_order="softmax_then_select", renormalise=False)
    adapter, tokens = random_adapter(spec), random_tokens()
    with torch.no_grad():
        adapter.router.correction_bias.copy_(torch.tensor([0.0, 0.0, 0.0, 9.0]))
        gates, selected, probabilities = adapter.router(tokens)
    assert (selected[:, 0] == 3).all()
    torch.testing.assert_close(gates, probabilities.gather(-1, selected))


def test_adapter_in_training_gives_gradients_to_every_weight():
    adapter = build_adapter(replace(TINY_SPEC, top_k=2))
    out = adapter.route(random_tokens(64))
    (out.audio_embeddings.square().mean() + out.router_probabilities.square().sum()).backward()
    missing = [
        name for name, p in adapter.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ]
    assert missing == []


def test_adapter_without_tokens_gives_none():
    with torch.no_grad():
        assert random_adapter(TINY_SPEC)(torch.zeros(0, 128)).shape == (0, 48)


def test_output_scale_sets_the_size_of_fresh_embeddings():
    adapter = build_adapter(TINY_SPEC)
    adapter.set_output_scale(0.1)
    embeddings = adapter(random_tokens())
    assert embeddings.std(dim=-1).mean().item() == pytest.approx(0.1, rel=0.05)
