"""Which arithmetic a choice means, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from eureka.engine.choice import BackendChoice, BackendName, say_cuda_once, say_once
from eureka.errors import InvalidInputError
from eureka.model.config import EurekaConfig
from tests.helpers.native import needs_kernels
from tests.helpers.tiny_model import TINY_CONFIG

CONFIG = EurekaConfig.from_dict(TINY_CONFIG)
ODD_CONFIG = EurekaConfig.from_dict(
    {**TINY_CONFIG, "audio_encoder": {**TINY_CONFIG["audio_encoder"], "d_model": 48}}
)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"backend": "reference"}, "reference"),
        ({"dtype": "bfloat16"}, "reference"),
        ({"backend": "onnx", "numerics": "fast"}, "onnx"),
        ({"num_threads": 2}, "onnx"),
    ],
)
def test_choice_resolves_without_kernels(fields: dict[str, Any], expected: str) -> None:
    assert BackendChoice(**fields).resolve(CONFIG) == expected


@pytest.mark.parametrize(
    "fields", [{"backend": "cuda"}, {"device": "cuda:0"}, {"backend": "cuda", "numerics": "int8"}]
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_cuda_without_a_gpu_leaves_the_reference_on_the_cpu_and_one_line(
    fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    say_cuda_once.cache_clear()
    choice = BackendChoice(**fields)
    assert [choice.resolve(CONFIG) for _ in range(3)] == ["reference"] * 3
    assert choice.in_torch().device == "cpu"
    assert choice.in_torch().dtype == "float32"
    assert [r.message for r in caplog.records] == ["cuda_left_out"]
    assert "no GPU" in caplog.records[0].reason  # type: ignore[attr-defined]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
@pytest.mark.parametrize("fields", [{"backend": "cuda"}, {"device": "cuda:0"}])
def test_cuda_computes_on_a_gpu(fields: dict[str, Any]) -> None:
    assert BackendChoice(**fields).resolve(CONFIG) == "cuda"
    assert BackendChoice(**fields).in_torch().device.startswith("cuda")
    assert BackendChoice(**fields, numerics="fast").in_torch().dtype == "bfloat16"


@pytest.mark.parametrize("backend", ["auto", "native"])
def test_shapes_that_the_kernels_do_not_take_run_on_onnx(backend: BackendName) -> None:
    assert BackendChoice(backend).resolve(ODD_CONFIG) == "onnx"


@needs_kernels
@pytest.mark.parametrize("backend", ["auto", "native"])
def test_kernels_compute_where_they_can(backend: BackendName) -> None:
    assert BackendChoice(backend).resolve(CONFIG) == "native"


@pytest.mark.parametrize("backend", ["auto", "native"])
def test_kernels_that_cannot_be_loaded_leave_onnx_and_one_line(
    backend: BackendName, caplog: pytest.LogCaptureFixture
) -> None:
    say_once.cache_clear()
    for _ in range(3):
        assert BackendChoice(backend).resolve(CONFIG, kernels="eureka.engine.native._absent") == "onnx"
    assert [r.message for r in caplog.records] == ["native_left_out"]
    assert "C++ compiler" in caplog.records[0].__dict__["reason"]


@pytest.mark.parametrize(
    "fields",
    [
        {"backend": "onnx", "dtype": "float16"},
        {"backend": "onnx", "device": "cuda"},
        {"backend": "reference", "numerics": "fast"},
        {"numerics": "fast", "dtype": "bfloat16"},
        {"backend": "native", "dtype": "bfloat16"},
        {"backend": "reference", "numerics": "int8"},
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        BackendChoice(**fields)
    assert caught.value.reason == "BACKEND_MISMATCH"
