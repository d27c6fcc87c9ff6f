"""`check` finds by loss what shapes do not tell, and writes it down."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from eureka.errors import InvalidCheckpointError
from eureka.model import check
from eureka.model.adapter_resolve import AdapterOverride
from eureka.model.adapter_spec import AdapterSpec
from eureka.model.check import KnownPair, check_checkpoint
from eureka.model.eureka_audio import EurekaAudio
from eureka.model.weights import load_checkpoint
from tests.helpers.synthetic_checkpoint import (
    TINY_SPEC,
    Style,
    foreign_adapter,
    tiny_model,
    write_checkpoint,
)

TRUE_SPEC = replace(
    TINY_SPEC,
    is_gated=True,
    top_k=2,
    activation="relu",
    routing_order="softmax_then_select",
    renormalise=False,
)


def decided_model(spec: AdapterSpec) -> EurekaAudio:
    """A random model that is sure of what it says, and whose experts weigh about the same."""
    model = tiny_model(spec)
    with torch.no_grad():
        model.audio_moe_adaptor.router.weight.mul_(0.2)
        model.backbone.model.norm.weight.mul_(30)
    return model


def pair_that_fits(model: EurekaAudio) -> KnownPair:
    log_mels = (torch.randn(16, 64, generator=torch.Generator().manual_seed(1)),)
    is_audio = torch.tensor([False, *[True] * 8, False])
    ids = torch.tensor([1, *[2] * 8, 3])
    answer: list[int] = []
    with torch.inference_mode():
        audio = model.embed_audio(log_mels)
        for _ in range(12):
            whole = torch.cat([ids, torch.tensor(answer, dtype=torch.int64)])
            flags = torch.cat([is_audio, torch.zeros(len(answer), dtype=torch.bool)])
            hidden = model.backbone(model.embed_prompt(whole, flags, audio)[None])
            answer.append(int(model.backbone.logits(hidden[0, -1]).argmax()))
    return KnownPair(log_mels, (8,), ids, is_audio, torch.tensor(answer))


@pytest.mark.parametrize("limit", [0, 100_000])
def test_check_finds_the_open_fields_by_loss(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(check, "MAX_EXHAUSTIVE_TRIALS", limit)
    model = decided_model(TRUE_SPEC)
    told = {"layer_norm_eps": 1e-5, "rms_norm_eps": 1e-6} | ({} if limit == 0 else {"activation": "relu"})
    tensors = foreign_adapter(model.audio_moe_adaptor, Style())
    write_checkpoint(tmp_path, model, adapter=tensors, told=told)
    heard: list[float] = []
    result = check_checkpoint(
        tmp_path, pair_that_fits(model), on_trial=lambda trial: heard.append(trial.loss)
    )
    spec = load_checkpoint(tmp_path)[0].audio_moe_adaptor.spec
    assert spec == TRUE_SPEC
    assert result.path == tmp_path / "adapter_override.json"
    assert result.best.loss == min(heard)
    assert len(heard) == len(result.trials)
    assert json.loads(json.dumps(result.to_dict()))["fields"]["top_k"] == 2


def test_check_tries_roles_that_only_names_tell(tmp_path):
    model = decided_model(replace(TINY_SPEC, is_gated=True))
    tensors = foreign_adapter(model.audio_moe_adaptor, Style())
    misleading = {
        name.replace("w1", "w#").replace("fc1", "w1").replace("w#", "fc1"): tensor
        for name, tensor in tensors.items()
    }
    told = {n: v for n, v in TINY_SPEC.to_dict().items() if n in ("top_k", "activation", "routing_order")}
    told |= {"layer_norm_eps": 1e-5, "renormalise": True}
    write_checkpoint(tmp_path, model, adapter=misleading, told=told)
    result = check_checkpoint(tmp_path, pair_that_fits(model))
    assert result.best.override.roles["experts.*.fc1"] == "experts.gate"
    tokens = torch.randn(5, 128)
    with torch.no_grad():
        loaded = load_checkpoint(tmp_path)[0].audio_moe_adaptor(tokens)
        torch.testing.assert_close(loaded, model.audio_moe_adaptor(tokens))


def test_check_with_nothing_open_writes_nothing(tmp_path):
    model = decided_model(TINY_SPEC)
    write_checkpoint(tmp_path, model, told=TINY_SPEC.to_dict())
    result = check_checkpoint(tmp_path, pair_that_fits(model))
    assert result.path is None
    assert len(result.trials) == 1
    assert not (tmp_path / "adapter_override.json").exists()


def test_check_keeps_what_an_override_says(tmp_path):
    model = decided_model(TINY_SPEC)
    write_checkpoint(tmp_path, model)
    AdapterOverride({"top_k": 1}).save(tmp_path)
    result = check_checkpoint(tmp_path, pair_that_fits(model))
    assert result.best.override.fields["top_k"] == 1


def test_check_without_any_finite_loss_is_refused(tmp_path):
    model = decided_model(TINY_SPEC)
    with torch.no_grad():
        model.backbone.model.norm.weight.fill_(torch.nan)
    write_checkpoint(tmp_path, model, told=TINY_SPEC.to_dict())
    with pytest.raises(InvalidCheckpointError, match="no combination"):
        check_checkpoint(tmp_path, pair_that_fits(model))
