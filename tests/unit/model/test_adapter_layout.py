"""Layouts of eureka-audio section 4.4: what shapes tell, and that foreign files give the same adapter."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch

from eureka.errors import InvalidCheckpointError
from eureka.model.adapter_layout import read_layout
from eureka.model.adapter_spec import AdapterSpec
from eureka.model.weights import load_checkpoint
from tests.helpers.synthetic_checkpoint import (
    TINY_SPEC,
    Style,
    foreign_adapter,
    layout_a,
    layout_b,
    tiny_model,
    write_checkpoint,
)

GATED = replace(TINY_SPEC, is_gated=True)
NORMED = replace(TINY_SPEC, expert_output_norm="layer_norm", mixed_norm="rms_norm", input_norm="layer_norm")
SHARED = replace(TINY_SPEC, num_shared_experts=2, shared_hidden_size=12)
LIKE_B = replace(
    TINY_SPEC,
    num_experts=8,
    top_k=4,
    expert_output_size=48,
    expert_up_bias=False,
    expert_down_bias=False,
    expert_output_norm="rms_norm",
    projection_sizes=(56, 48),
    projection_bias=False,
)

ADAPTERS = {
    "plain": (TINY_SPEC, Style()),
    "sequential": (NORMED, Style("sequential")),
    "lists per projection": (TINY_SPEC, Style("lists")),
    "stacked": (TINY_SPEC, Style("stacked")),
    "stacked as (in, out)": (TINY_SPEC, Style("transposed")),
    "stacked with norms": (replace(NORMED, expert_input_norm="rms_norm"), Style("stacked")),
    "gated, separate": (GATED, Style()),
    "gated, fused": (GATED, Style(is_fused=True)),
    "gated, fused and stacked": (GATED, Style("stacked", is_fused=True)),
    "gated, fused, stacked as (in, out)": (
        replace(GATED, expert_up_bias=False, expert_down_bias=False),
        Style("transposed", is_fused=True),
    ),
    "router bias": (replace(TINY_SPEC, router_bias=True), Style()),
    "correction bias": (replace(TINY_SPEC, correction_bias=True), Style("sequential")),
    "both biases": (replace(TINY_SPEC, router_bias=True, correction_bias=True), Style()),
    "shared, own list": (SHARED, Style()),
    "shared, one module": (replace(SHARED, num_shared_experts=1), Style(shared="single")),
    "shared behind the routed": (
        replace(SHARED, num_shared_experts=1, shared_hidden_size=24),
        Style(shared="behind"),
    ),
    "shared behind, stacked": (
        replace(SHARED, num_shared_experts=3, shared_hidden_size=24),
        Style("stacked", shared="behind"),
    ),
    "shared, stacked apart": (SHARED, Style("stacked")),
    "norms everywhere": (
        replace(
            NORMED,
            expert_input_norm="layer_norm",
            expert_hidden_norm="rms_norm",
            projection_sizes=(56, 48),
            projection_norm="rms_norm",
            output_norm="rms_norm",
        ),
        Style(),
    ),
    "no projection": (
        replace(TINY_SPEC, expert_output_size=48, projection_sizes=()),
        Style("sequential"),
    ),
    "no output norm": (replace(TINY_SPEC, output_norm="none"), Style()),
    "like layout B": (LIKE_B, Style("sequential", is_flat=True)),
    "like layout B with a norm before": (
        replace(LIKE_B, mixed_norm="layer_norm"),
        Style("sequential", is_flat=True),
    ),
}

SHAPE_FIELDS = [
    f.name
    for f in fields(AdapterSpec)
    if f.name
    not in {
        "top_k",
        "activation",
        "routing_order",
        "renormalise",
        "shared_place",
        "projection_activation",
        "layer_norm_eps",
        "rms_norm_eps",
        "projection_bias",
    }
]


@pytest.mark.parametrize("name", ADAPTERS)
def test_foreign_adapter_is_read_from_shapes_and_gives_the_same_embeddings(name, tmp_path):
    spec, style = ADAPTERS[name]
    model = tiny_model(spec)
    tensors = foreign_adapter(model.audio_moe_adaptor, style)
    told = {"top_k": spec.top_k}
    loaded, report = load_checkpoint(write_checkpoint(tmp_path, model, adapter=tensors, told=told))
    found = loaded.audio_moe_adaptor.spec
    assert {n: getattr(found, n) for n in SHAPE_FIELDS} == {n: getattr(spec, n) for n in SHAPE_FIELDS}
    assert len(report.adapter_roles) > 0
    tokens = torch.randn(11, 128, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        theirs = model.audio_moe_adaptor(tokens)
        torch.testing.assert_close(loaded.audio_moe_adaptor(tokens), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("layout", "num_experts", "hidden"), [(layout_a(), 8, 1280), (layout_b(), 16, 640)])
def test_layouts_in_the_papers_style_have_the_size_of_the_release(layout, num_experts, hidden):
    assert len(layout) == 53
    assert sum(math.prod(shape) for shape in layout.values()) == 84_004_864
    found = read_layout(layout, 5120, 2048).fields
    assert (found["num_experts"], found["expert_hidden_size"]) == (num_experts, hidden)


def test_layout_a_is_read_whole():
    found = read_layout(layout_a(), 5120, 2048).fields
    assert found["expert_output_size"] == 2560
    assert (found["expert_output_norm"], found["output_norm"]) == ("layer_norm", "layer_norm")
    assert (found["expert_up_bias"], found["projection_bias"], found["router_bias"]) == (True, True, False)
    assert found["projection_sizes"] == (2048,)


def test_layout_b_is_read_whole():
    found = read_layout(layout_b(), 5120, 2048).fields
    assert found["expert_output_size"] == 2048
    assert (found["expert_output_norm"], found["output_norm"]) == ("rms_norm", "layer_norm")
    assert (found["expert_up_bias"], found["projection_bias"]) == (False, False)
    assert found["projection_sizes"] == (2560, 2048)


def test_layout_a_with_two_more_biases_has_55_tensors():
    layout = layout_a() | {"router.bias": (8,), "router.e_score_correction_bias": (8,)}
    found = read_layout(layout, 5120, 2048)
    assert len(layout) == 55
    assert (found.fields["router_bias"], found.fields["correction_bias"]) == (True, True)


def without(layout, *names):
    return {name: shape for name, shape in layout.items() if name not in names}


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (layout_a() | {"temperature": ()}, r"temperature \[\] has no place"),
        (layout_a() | {"extra.weight": (2048, 77)}, r"extra \[2048, 77\] takes no width"),
        (layout_a() | {"odd.weight": (777,)}, r"norms without a place of their width.*odd \[777\]"),
        (layout_a() | {"lone.bias": (2048,)}, r"lone\.bias \[2048\] has no place"),
        (
            without(layout_a(), "router.weight") | {"a.weight": (8, 5120), "b.weight": (8, 5120)},
            "found: a, b",
        ),
        (without(layout_a(), "router.weight"), "the router is one matrix .* found: none"),
        (without(layout_a(), "proj.weight", "proj.bias"), "no expert of input width 5120"),
        (without(layout_a(), "experts.3.fc2.weight"), "has no place|takes no width|no expert"),
        (layout_a() | {"experts.3.fc2.weight": (2560, 1281)}, "has no place|takes no width|no expert"),
        (without(layout_b(), "experts.0.3.weight"), "has no place|without a place"),
    ],
)
def test_layout_that_does_not_fit_is_refused_by_name(layout, message):
    with pytest.raises(InvalidCheckpointError, match=message):
        read_layout(layout, 5120, 2048)


def test_roles_from_an_override_settle_what_shapes_leave_open():
    layout = layout_b()
    default = read_layout(layout, 5120, 2048)
    assert default.roles["out.3"] == "output_norm"
    forced = read_layout(layout, 5120, 2048, {"out.3": "mixed_norm"})
    assert (forced.fields["mixed_norm"], forced.fields["output_norm"]) == ("layer_norm", "none")


def test_role_that_does_not_fit_is_refused():
    with pytest.raises(InvalidCheckpointError):
        read_layout(layout_a(), 5120, 2048, {"ln": "input_norm"})
    with pytest.raises(InvalidCheckpointError, match="override gives nothing the role output_norm"):
        read_layout(layout_a(), 5120, 2048, {"nothing": "output_norm"})


def test_gate_and_up_told_apart_by_name_only_are_an_alternative():
    shapes = {"router.weight": (4, 128), "proj.weight": (48, 40)}
    for i in range(4):
        shapes |= {
            f"experts.{i}.w1.weight": (24, 128),
            f"experts.{i}.w2.weight": (40, 24),
            f"experts.{i}.w3.weight": (24, 128),
        }
    layout = read_layout(shapes, 128, 48)
    assert layout.roles["experts.*.w1"] == "experts.gate"
    assert layout.roles["experts.*.w3"] == "experts.up"
    swapped = {"experts.*.w1": "experts.up", "experts.*.w3": "experts.gate", "experts.*.w2": "experts.down"}
    assert swapped in layout.alternatives[0]


def test_names_of_our_own_are_read_without_doubt():
    model = tiny_model(replace(LIKE_B, mixed_norm="layer_norm", is_gated=True))
    shapes = {name: tuple(t.shape) for name, t in model.audio_moe_adaptor.state_dict().items()}
    layout = read_layout(shapes, 128, 48)
    assert layout.alternatives == []
    assert layout.roles == {stem: stem for stem in layout.roles}
