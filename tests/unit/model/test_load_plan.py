"""Expected parameters, and reading them without torch."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eureka.model.adapter import MoeAdapter
from eureka.model.adapter_spec import AdapterSpec
from eureka.model.expected_shapes import adapter_shapes, backbone_shapes, encoder_shapes
from eureka.model.load_plan import plan_load
from eureka.model.weights import load_checkpoint
from tests.helpers.synthetic_checkpoint import TINY_CONFIG, TINY_SPEC, tiny_model, write_checkpoint

SPECS = [
    TINY_SPEC,
    replace(TINY_SPEC, is_gated=True, expert_up_bias=False, expert_down_bias=False, output_norm="none"),
    replace(TINY_SPEC, num_shared_experts=2, shared_hidden_size=12, router_bias=True, input_norm="rms_norm"),
    replace(TINY_SPEC, expert_input_norm="layer_norm", expert_hidden_norm="rms_norm", correction_bias=True),
    replace(TINY_SPEC, projection_sizes=(64, 48), projection_norm="layer_norm", projection_bias=False),
    replace(TINY_SPEC, expert_output_norm="layer_norm", mixed_norm="rms_norm", is_gated=True),
]


def shapes_of(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("spec", SPECS)
def test_adapter_shapes_are_those_of_the_module(spec: AdapterSpec) -> None:
    assert adapter_shapes(spec) == shapes_of(MoeAdapter(spec))


@pytest.mark.parametrize("is_tied", [True, False])
def test_shapes_of_both_stacks_are_those_of_the_modules(is_tied: bool) -> None:
    backbone = replace(TINY_CONFIG.backbone, tie_word_embeddings=is_tied)
    model = tiny_model(config=replace(TINY_CONFIG, backbone=backbone))
    assert encoder_shapes(model.config.audio_encoder) == shapes_of(model.audio_encoder.speech_encoder)
    assert backbone_shapes(backbone) == shapes_of(model.backbone)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16, torch.float32])
def test_arrays_are_those_that_torch_loads(tmp_path, stored):
    write_checkpoint(tmp_path, tiny_model(), told={"top_k": 2}, dtype=stored)
    model, _ = load_checkpoint(tmp_path, torch.float32)
    plan = plan_load(tmp_path)
    parts = (
        (plan.read_encoder(), model.audio_encoder.speech_encoder),
        (plan.read_adapter(), model.audio_moe_adaptor),
        (plan.read_backbone(), model.backbone),
    )
    for arrays, module in parts:
        expected = module.state_dict()
        assert set(arrays) == set(expected)
        for name, array in arrays.items():
            assert array.dtype == np.float32
            assert np.array_equal(array, expected[name].numpy()), name


def test_parts_are_widened_one_tensor_at_a_time(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tiny_model(), told={"top_k": 2}, dtype=torch.bfloat16)
    plan = plan_load(tmp_path)
    for read in (plan.read_backbone, plan.read_encoder):
        tracemalloc.start()
        sizes = [array.nbytes for array in read().values()]
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 4 * max(sizes) < sum(sizes)
