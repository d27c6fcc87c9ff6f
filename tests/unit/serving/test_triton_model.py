"""Parameters of model processes: config.pbtxt or a load with an override, then environment, then defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eureka.engine.choice import BackendChoice
from eureka.errors import WrongStateError
from eureka.runtime.settings import known_names
from eureka.runtime.settings_sections import TritonSettings
from eureka.serving.triton_model import VARIABLES, ModelParameters


def args(kind: str = "CPU", **parameters: str) -> dict[str, Any]:
    plain = {name: {"string_value": value} for name, value in parameters.items()}
    config = json.dumps({"parameters": plain})
    return {"model_config": config, "model_instance_kind": kind, "model_instance_device_id": "1"}


def test_parameters_left_empty_come_from_the_environment_then_the_default() -> None:
    environ = {"EUREKA_CHECKPOINT": "folder", "EUREKA_TRITON__NUM_SLOTS": "3"}
    found = ModelParameters.read(args(checkpoint="", num_slots="", dtype=""), environ)
    assert found == ModelParameters(Path("folder"), BackendChoice(), 3, 64)


def test_parameters_of_the_config_come_before_the_environment() -> None:
    environ = {"EUREKA_CHECKPOINT": "folder", "EUREKA_DTYPE": "float16"}
    found = ModelParameters.read(args(checkpoint="other", dtype="bfloat16", max_waiting="5"), environ)
    assert found == ModelParameters(Path("other"), BackendChoice(dtype="bfloat16"), 8, 5)


def test_instance_on_a_gpu_computes_there() -> None:
    assert ModelParameters.read(args("GPU", checkpoint="a"), {}).choice.device == "cuda:1"
    assert ModelParameters.read(args("GPU", checkpoint="a", device="cpu"), {}).choice.device == "cpu"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "EUREKA_CHECKPOINT"),
        ({"checkpoint": "a", "dtype": "int4"}, "int4"),
        ({"checkpoint": "a", "backend": "best"}, "backend"),
        ({"checkpoint": "a", "numerics": "int3"}, "numerics"),
        ({"checkpoint": "a", "backend": "onnx", "dtype": "bfloat16"}, "float32 on the cpu"),
        ({"checkpoint": "a", "num_slots": "0"}, "num_slots"),
        ({"checkpoint": "a", "max_waiting": "many"}, "max_waiting"),
    ],
)
def test_parameters_that_cannot_be_used_stop_the_start(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(WrongStateError, match=message):
        ModelParameters.read(args(**parameters), {})


def test_defaults_are_those_of_the_settings() -> None:
    found, settings = ModelParameters.read(args(checkpoint="a"), {}), TritonSettings()
    assert (found.num_slots, found.max_waiting) == (settings.num_slots, settings.max_waiting)


def test_environment_names_are_known_to_the_settings() -> None:
    environ = {"EUREKA_TRITON__DEVICE": "cpu", "EUREKA_TRITON__NUM_SLOTS": "2"}
    assert ModelParameters.read(args("GPU", checkpoint="a"), environ).choice.device == "cpu"
    assert set(VARIABLES.values()) <= set(known_names())


def test_graphs_are_kept_below_the_cache_folder() -> None:
    environ = {"EUREKA_CHECKPOINT": "a", "EUREKA_CACHE_FOLDER": "kept", "EUREKA_NUMERICS": "fast"}
    choice = ModelParameters.read(args(), environ).choice
    assert choice == BackendChoice(numerics="fast", cache_folder=Path("kept/graphs"))


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("True", True), ("false", False), ("", False)]
)
def test_batch_invariance_is_a_switch(text: str, expected: bool) -> None:
    environ = {"EUREKA_CHECKPOINT": "a", "EUREKA_BATCH_INVARIANT": text}
    assert ModelParameters.read(args(), environ).choice.batch_invariant is expected
