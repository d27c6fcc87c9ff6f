"""Fields of an adapter: defaults, bad values, where each comes from."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from eureka.errors import InvalidCheckpointError
from eureka.model.adapter_resolve import AdapterOverride, resolve_adapter
from eureka.model.adapter_spec import AdapterSpec
from eureka.model.config import EurekaConfig
from tests.helpers.synthetic_checkpoint import layout_a, layout_b

CONFIG = EurekaConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"top_k": 9}, "top_k must lie in 1..8"),
        ({"activation": "tanh"}, "activation must be one of"),
        ({"output_norm": "batch_norm"}, "output_norm must be one of"),
        ({"routing_order": "softmax"}, "routing_order must be one of"),
        ({"shared_place": "nowhere"}, "shared_place must be one of"),
        ({"experts": 8}, "unknown adapter field 'experts'"),
        ({"top_k": "2"}, "top_k cannot be '2'"),
        ({"is_gated": 1}, "is_gated cannot be 1"),
        ({"projection_sizes": [2048, -1]}, "projection_sizes cannot be"),
    ],
)
def test_spec_with_bad_value_is_refused(values, message):
    with pytest.raises(InvalidCheckpointError, match=message):
        AdapterSpec().replaced(values)


def test_spec_survives_json():
    spec = replace(AdapterSpec(), projection_sizes=(2560, 2048), is_gated=True)
    assert AdapterSpec().replaced(json.loads(json.dumps(spec.to_dict()))) == spec


def test_new_adapter_takes_its_widths_from_its_neighbours():
    spec = AdapterSpec.from_config(replace(CONFIG, adapter={"num_experts": 4, "top_k": 2}))
    assert (spec.input_size, spec.output_size, spec.num_experts, spec.top_k) == (5120, 2048, 4, 2)


def test_resolve_records_where_each_field_came_from():
    config = replace(CONFIG, adapter={"renormalise": False, "num_experts": 8})
    override = AdapterOverride({"top_k": 2})
    resolved = resolve_adapter(layout_a(), config, override)
    assert resolved.origins["top_k"] == "override"
    assert resolved.origins["expert_hidden_size"] == "shape"
    assert resolved.origins["num_experts"] == "shape"
    assert resolved.origins["renormalise"] == "config"
    assert resolved.origins["activation"] == "default"
    assert (resolved.spec.top_k, resolved.spec.renormalise) == (2, False)
    assert resolved.unsettled == ["routing_order", "activation", "layer_norm_eps"]


def test_override_wins_over_config_where_shapes_are_silent():
    config = replace(CONFIG, adapter={"top_k": 1})
    assert resolve_adapter(layout_b(), config, AdapterOverride({"top_k": 8})).spec.top_k == 8


def test_default_top_k_is_half_of_the_experts_and_at_most_four():
    assert resolve_adapter(layout_b(), CONFIG, AdapterOverride()).spec.top_k == 4


@pytest.mark.parametrize("origin", ["config", "override"])
def test_told_field_that_disagrees_with_shapes_is_refused(origin):
    told = {"expert_hidden_size": 640}
    config = replace(CONFIG, adapter=told if origin == "config" else {})
    override = AdapterOverride(told if origin == "override" else {})
    with pytest.raises(InvalidCheckpointError, match=f"expert_hidden_size: {origin} says 640, .* say 1280"):
        resolve_adapter(layout_a(), config, override)


def test_override_file_round_trip(tmp_path):
    override = AdapterOverride({"top_k": 2, "activation": "gelu"}, {"experts.*.a": "experts.up"})
    override.save(tmp_path)
    assert AdapterOverride.from_folder(tmp_path) == override
    assert AdapterOverride.from_folder(tmp_path / "elsewhere") == AdapterOverride()


@pytest.mark.parametrize("text", ["[", "3", '{"roles": 3}', '{"topk": 1}'])
def test_override_file_that_is_broken_is_refused(tmp_path, text):
    (tmp_path / "adapter_override.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidCheckpointError, match=r"adapter_override\.json"):
        AdapterOverride.from_folder(tmp_path)
