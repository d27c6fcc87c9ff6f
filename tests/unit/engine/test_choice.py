"""Which arithmetic a choice means, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from eureka.engine.choice import BackendChoice
from eureka.errors import InvalidInputError


@pytest.mark.parametrize(
    ("fields", "is_onnx"),
    [
        ({}, True),
        ({"backend": "reference"}, False),
        ({"dtype": "bfloat16"}, False),
        ({"device": "cuda:0"}, False),
        ({"backend": "onnx", "numerics": "fast"}, True),
    ],
)
def test_onnx_computes_float32_on_the_cpu(fields: dict[str, Any], is_onnx: bool) -> None:
    assert BackendChoice(**fields).is_onnx is is_onnx


@pytest.mark.parametrize(
    "fields",
    [
        {"backend": "onnx", "dtype": "float16"},
        {"backend": "onnx", "device": "cuda"},
        {"backend": "reference", "numerics": "fast"},
        {"numerics": "fast", "dtype": "bfloat16"},
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        BackendChoice(**fields)
    assert caught.value.reason == "BACKEND_MISMATCH"
