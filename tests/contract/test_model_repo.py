"""config.pbtxt of every Triton model says what `engine/messages.py` says; model.py stays thin."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from eureka.engine.messages import AUDIO_FRONTEND, LLM_DECODER, MODELS, ModelSpec, TensorSpec
from eureka.serving.triton_model import VARIABLES

MAX_LINES = 80
CONFIG_TYPES = {"FP32": "TYPE_FP32", "INT64": "TYPE_INT64", "BYTES": "TYPE_STRING"}

specs = pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)


def read_config(repo_root: Path, name: str) -> Any:
    text = (repo_root / "model_repo" / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def told(tensor: TensorSpec) -> tuple[str, str, tuple[int, ...]]:
    return tensor.name, CONFIG_TYPES[tensor.datatype], tensor.dims


def found(tensor: Any) -> tuple[str, str, tuple[int, ...]]:
    return tensor.name, model_config_pb2.DataType.Name(tensor.data_type), tuple(tensor.dims)


def test_repository_holds_our_models_and_no_others(repo_root: Path) -> None:
    folders = {path.parent.name for path in (repo_root / "model_repo").glob("*/config.pbtxt")}
    assert folders == {spec.name for spec in MODELS}


@specs
def test_config_has_the_tensors_of_messages(repo_root: Path, spec: ModelSpec) -> None:
    config = read_config(repo_root, spec.name)
    assert config.name == spec.name
    assert [found(tensor) for tensor in config.input] == [told(tensor) for tensor in spec.inputs]
    assert [found(tensor) for tensor in config.output] == [told(tensor) for tensor in spec.outputs]
    assert [tensor.optional for tensor in config.input] == [tensor.is_optional for tensor in spec.inputs]
    assert (config.max_batch_size > 0) == spec.is_batched
    assert config.model_transaction_policy.decoupled == spec.is_decoupled


@specs
def test_config_takes_a_gpu_only_where_there_is_one(repo_root: Path, spec: ModelSpec) -> None:
    config = read_config(repo_root, spec.name)
    kinds = [model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind) for group in config.instance_group]
    assert kinds == ([] if spec is AUDIO_FRONTEND else ["KIND_AUTO"])


@specs
def test_parameters_are_empty_and_known(repo_root: Path, spec: ModelSpec) -> None:
    """Empty, so that the environment counts; a load with an override comes before it."""
    parameters = read_config(repo_root, spec.name).parameters
    assert set(parameters) <= set(VARIABLES)
    assert all(parameter.string_value == "" for parameter in parameters.values())
    if spec is LLM_DECODER:
        assert set(parameters) == set(VARIABLES)


@specs
def test_a_batching_model_shares_a_batch_among_lengths_and_bounds_its_queue(
    repo_root: Path, spec: ModelSpec
) -> None:
    config = read_config(repo_root, spec.name)
    if spec.is_batched and spec is not AUDIO_FRONTEND:
        assert all(tensor.allow_ragged_batch for tensor in config.input)
        assert config.dynamic_batching.default_queue_policy.max_queue_size > 0


def test_ensemble_is_the_encoder_before_the_adapter(repo_root: Path) -> None:
    config = read_config(repo_root, AUDIO_FRONTEND.name)
    steps = [step.model_name for step in config.ensemble_scheduling.step]
    assert steps == ["audio_encoder", "moe_adapter"]
    batch_sizes = {read_config(repo_root, name).max_batch_size for name in (AUDIO_FRONTEND.name, *steps)}
    assert len(batch_sizes) == 1


def test_every_version_folder_holds_a_file_and_models_are_thin(repo_root: Path) -> None:
    for spec in MODELS:
        folder = repo_root / "model_repo" / spec.name / "1"
        if spec is AUDIO_FRONTEND:
            assert (folder / ".gitkeep").is_file()  # git drops an empty folder, Triton wants it
            continue
        source = (folder / "model.py").read_text(encoding="utf-8")
        assert len(source.splitlines()) <= MAX_LINES
        classes = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
        assert classes == ["TritonPythonModel"]
