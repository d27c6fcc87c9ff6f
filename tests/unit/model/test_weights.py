"""The strict loader: what it takes, what it refuses, and that it names what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from eureka.errors import InvalidCheckpointError
from eureka.model.adapter_resolve import AdapterOverride
from eureka.model.config import EurekaConfig
from eureka.model.eureka_audio import save_checkpoint
from eureka.model.inspect import inspect_checkpoint
from eureka.model.weights import load_checkpoint
from tests.helpers.synthetic_checkpoint import (
    LEFTOVERS,
    TINY_CONFIG,
    TINY_SPEC,
    tiny_model,
    write_checkpoint,
)

TOLD = {"top_k": 2}


def same_weights(ours, theirs, dtype=torch.float32):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert list(ours) == list(theirs)
    return all(torch.equal(ours[name], theirs[name].to(dtype)) for name in ours)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_checkpoint_round_trip_keeps_every_weight(tmp_path, dtype):
    model = tiny_model()
    save_checkpoint(model, tmp_path, dtype)
    loaded, report = load_checkpoint(tmp_path, dtype)
    assert same_weights(loaded, model, dtype)
    assert report.dtypes == {str(dtype).removeprefix("torch."): report.num_tensors}
    assert loaded.audio_moe_adaptor.spec == TINY_SPEC
    assert not loaded.training


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("asked", [torch.bfloat16, torch.float32])
def test_stored_type_is_converted_to_the_asked_one(tmp_path, stored, asked):
    model = tiny_model()
    write_checkpoint(tmp_path, model, told=TOLD, dtype=stored)
    loaded, _ = load_checkpoint(tmp_path, asked)
    assert {p.dtype for p in loaded.parameters()} == {asked}
    assert same_weights(loaded, model.to(stored), asked)


def test_saving_replaces_a_checkpoint_that_is_loaded(tmp_path):
    first, second = tiny_model(seed=0), tiny_model(seed=1)
    save_checkpoint(first, tmp_path)
    loaded, _ = load_checkpoint(tmp_path)
    save_checkpoint(second, tmp_path)
    assert same_weights(loaded, first)
    assert same_weights(load_checkpoint(tmp_path)[0], second)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_sharded_checkpoint_equals_single_file(tmp_path):
    model = tiny_model()
    write_checkpoint(tmp_path / "one", model, told=TOLD)
    write_checkpoint(tmp_path / "many", model, told=TOLD, num_shards=3)
    assert same_weights(load_checkpoint(tmp_path / "many")[0], load_checkpoint(tmp_path / "one")[0])


@pytest.mark.parametrize("is_told_tied", [True, False])
@pytest.mark.parametrize("has_head", [True, False])
def test_head_is_separate_where_the_file_has_one(tmp_path, is_told_tied, has_head):
    def config(is_tied):
        return replace(TINY_CONFIG, backbone=replace(TINY_CONFIG.backbone, tie_word_embeddings=is_tied))

    model = tiny_model(config=config(not has_head))
    model.config = config(is_told_tied)
    loaded, report = load_checkpoint(write_checkpoint(tmp_path, model, told=TOLD))
    assert report.head == ("separate" if has_head else "tied")
    assert same_weights(loaded, model)
    hidden = torch.randn(1, 48)
    table = loaded.backbone.model.embed_tokens.weight
    assert torch.equal(loaded.backbone.logits(hidden), hidden @ table.T) is not has_head


def test_known_leftovers_are_skipped_by_name(tmp_path):
    extra = {name: torch.zeros(3) for name in LEFTOVERS}
    _, report = load_checkpoint(write_checkpoint(tmp_path, tiny_model(), told=TOLD, extra=extra))
    assert set(report.skipped) == set(LEFTOVERS)
    assert len(report.skipped) == 17


@pytest.mark.parametrize(
    "stray",
    [
        "audio_ffn_adaptor.2.weight",
        "backbone.model.layers.2.mlp.up_proj.weight",
        "audio_encoder.speech_encoder.layers.0.self_attn.k_proj.bias",
        "ctc_head.weight",
        "something",
        "audio_moe_adaptor.stray.weight",
    ],
)
def test_stray_tensor_is_refused_by_name(tmp_path, stray):
    write_checkpoint(tmp_path, tiny_model(), told=TOLD, extra={stray: torch.zeros(48, 77)})
    name = stray.removeprefix("audio_moe_adaptor.").removesuffix(".weight")
    with pytest.raises(InvalidCheckpointError, match=name):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "audio_encoder.speech_encoder.layer_norm.bias",
        "backbone.model.layers.1.self_attn.q_norm.weight",
        "backbone.model.embed_tokens.weight",
    ],
)
def test_missing_or_misshapen_tensor_is_refused_by_name(tmp_path, name):
    write_checkpoint(tmp_path / "missing", tiny_model(), told=TOLD, drop=(name,))
    with pytest.raises(InvalidCheckpointError, match=rf"{name} .* is missing"):
        load_checkpoint(tmp_path / "missing")
    wrong = {name: torch.zeros(3, 5)}
    write_checkpoint(tmp_path / "wrong", tiny_model(), told=TOLD, extra=wrong)
    with pytest.raises(InvalidCheckpointError, match=rf"{name} has shape \[3, 5\]"):
        load_checkpoint(tmp_path / "wrong")


def test_missing_adapter_is_refused(tmp_path):
    with pytest.raises(InvalidCheckpointError, match="router"):
        load_checkpoint(write_checkpoint(tmp_path, tiny_model(), adapter={}))


def test_config_that_disagrees_with_the_adapter_is_refused(tmp_path):
    write_checkpoint(tmp_path, tiny_model(), told={"num_experts": 8})
    with pytest.raises(InvalidCheckpointError, match=r"num_experts: config says 8, .* say 4"):
        load_checkpoint(tmp_path)


def test_override_file_and_argument_reach_the_adapter(tmp_path):
    write_checkpoint(tmp_path, tiny_model(), told=TOLD)
    AdapterOverride({"top_k": 1}).save(tmp_path)
    assert load_checkpoint(tmp_path)[0].audio_moe_adaptor.spec.top_k == 1
    given = AdapterOverride({"top_k": 3})
    assert load_checkpoint(tmp_path, override=given)[0].audio_moe_adaptor.spec.top_k == 3


def test_ctc_head_is_loaded_where_config_names_it(tmp_path):
    model = tiny_model(ctc=11)
    save_checkpoint(model, tmp_path)
    loaded, report = load_checkpoint(tmp_path)
    assert report.num_ctc_classes == 11
    assert torch.equal(loaded.ctc_head.weight, model.ctc_head.weight)


def broken_index(folder, change):
    path = folder / "model.safetensors.index.json"
    plain = json.loads(path.read_text(encoding="utf-8"))
    change(plain["weight_map"])
    path.write_text(json.dumps(plain), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("backbone.model.norm.weight"), "norm.weight stands in the shard but not the index"),
        (lambda m: m.update(ghost="model-00001.safetensors"), "ghost stands in the index but not the shard"),
        (lambda m: m.update(ghost="model-00009.safetensors"), "cannot read .*00009"),
        (lambda m: m.update(ghost="../model-00001.safetensors"), "must lie in the checkpoint's folder"),
    ],
)
def test_index_that_disagrees_with_its_shards_is_refused(tmp_path, change, message):
    write_checkpoint(tmp_path, tiny_model(), told=TOLD, num_shards=2)
    broken_index(tmp_path, change)
    with pytest.raises(InvalidCheckpointError, match=message):
        load_checkpoint(tmp_path)


def test_broken_files_are_refused(tmp_path):
    write_checkpoint(tmp_path, tiny_model(), told=TOLD)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    for content in (b"", whole[:100], whole[:-10], b"\xff" * 200):
        weights.write_bytes(content)
        with pytest.raises(InvalidCheckpointError, match=r"cannot read .*model\.safetensors"):
            load_checkpoint(tmp_path)
    weights.unlink()
    with pytest.raises(InvalidCheckpointError, match=r"cannot read .*model\.safetensors"):
        load_checkpoint(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InvalidCheckpointError, match=r"cannot read .*config\.json"):
        load_checkpoint(tmp_path)


def test_tensor_of_other_type_is_refused(tmp_path):
    write_checkpoint(tmp_path, tiny_model(), told=TOLD)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["backbone.model.norm.weight"] = torch.ones(48, dtype=torch.float64)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(InvalidCheckpointError, match=r"model\.norm\.weight is F64; only float32"):
        load_checkpoint(tmp_path)


def test_inspect_tells_what_is_inside_without_loading(tmp_path):
    model = tiny_model()
    write_checkpoint(
        tmp_path, model, told=TOLD, dtype=torch.bfloat16, extra={"lm_head.weight": torch.zeros(2)}
    )
    report = inspect_checkpoint(tmp_path)
    assert sum(report.parameters.values()) == model.num_parameters
    assert report.adapter_origins["top_k"] == "config"
    text = report.to_text()
    for words in ("tiny", "head: tied", "top_k                    2", "from config", "lm_head.weight"):
        assert words in text
    assert "eureka model check" in text  # activation and eps rest on defaults
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["adapter"]["num_experts"] == 4
    assert plain["unsettled"] == ["routing_order", "activation", "layer_norm_eps"]


def test_own_checkpoint_leaves_nothing_open(tmp_path):
    save_checkpoint(tiny_model(), tmp_path)
    report = inspect_checkpoint(tmp_path)
    assert report.unsettled == ()
    assert report.num_ambiguous_roles == 0
    assert "eureka model check" not in report.to_text()
    assert EurekaConfig.from_folder(tmp_path).adapter == TINY_SPEC.to_dict()
