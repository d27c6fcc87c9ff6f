"""Each kernel, on each instruction set that runs here, against the obvious form in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from eureka.engine.native.extension import load_extension
from eureka.errors import NotFoundError
from tests.helpers.native import needs_kernels, runnable_kernels

pytestmark = needs_kernels

Floats = NDArray[np.float32]


@pytest.fixture(params=runnable_kernels())
def kernels(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def to_bfloat16(x: Floats) -> Floats:
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return rounded.astype(np.uint32).view(np.float32)


def to_int8(x: Floats) -> Floats:
    """What 8 bits with a scale each 32 neighbours of a row keep of it."""
    width = -(-x.shape[1] // 32) * 32
    blocks = np.pad(x, ((0, 0), (0, width - x.shape[1]))).reshape(len(x), -1, 32)
    scales = abs(blocks).max(-1, keepdims=True) / 127
    levels = np.divide(blocks, scales, out=np.zeros_like(blocks), where=scales > 0)
    kept = np.sign(levels) * np.floor(abs(levels) + 0.5) * scales
    return kept.reshape(len(x), -1)[:, : x.shape[1]].astype(np.float32)


KEPT = {"float32": lambda x: x, "bfloat16": to_bfloat16, "int8": to_int8}


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize(
    "shape", [(1, 64, 64), (2, 100, 33), (5, 130, 257), (6, 64, 7), (17, 200, 96), (32, 1, 1)]
)
def test_product_is_that_of_what_the_type_keeps(kernels: str, kind: str, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(sum(shape))
    count, outputs, inner = shape
    x, weight = (rng.standard_normal((n, inner)).astype(np.float32) for n in (count, outputs))
    bias = rng.standard_normal(outputs).astype(np.float32)
    kept = KEPT[kind]
    expected = kept(x).astype(np.float64) @ kept(weight).astype(np.float64).T + bias
    product = load_extension().multiply(x, weight, bias, kind, kernels)
    # int8 rounds halves of a weight to even, of an activation away from zero: a level in some thousand.
    tolerance = 2e-6 if kind != "int8" else 2e-3
    assert abs(product - expected).max() <= tolerance * abs(expected).max() * math.sqrt(inner)


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
def test_row_is_the_same_bytes_whatever_stands_beside_it(kernels: str, kind: str) -> None:
    rng = np.random.default_rng(3)
    x, weight = (rng.standard_normal((n, 96)).astype(np.float32) for n in (20, 128))
    bias = np.zeros(128, np.float32)
    together = load_extension().multiply(x, weight, bias, kind, kernels)
    for count in (1, 2, 3, 4, 5, 6, 7, 13):
        alone = load_extension().multiply(x[:count], weight, bias, kind, kernels)
        assert (alone == together[:count]).all()


def test_int8_keeps_rows_of_zeros(kernels: str) -> None:
    zeros, ones = np.zeros((2, 64), np.float32), np.ones((64, 64), np.float32)
    assert (load_extension().multiply(zeros, ones, ones[0], "int8", kernels) == 1).all()


def softmax(x: Floats, length: int, scale: float) -> NDArray[np.float64]:
    wide = x[:length].astype(np.float64) * scale
    weights = np.exp(wide - wide.max())
    return np.concatenate([weights / weights.sum(), np.zeros(len(x) - length)])


@pytest.mark.parametrize("length", [1, 15, 16, 17, 63, 64])
@pytest.mark.parametrize("spread", [0.1, 30.0])
def test_softmax(kernels: str, length: int, spread: float) -> None:
    x = (np.random.default_rng(length).standard_normal(64) * spread).astype(np.float32)
    out = load_extension().apply("softmax", x, length, 0.5, kernels)
    assert np.allclose(out, softmax(x, length, 0.5), rtol=2e-6, atol=1e-9)


def test_gelu_is_the_exact_one(kernels: str) -> None:
    x = np.linspace(-12, 12, 1600, dtype=np.float32)
    expected = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.astype(np.float64)]
    assert abs(load_extension().apply("gelu", x, 1, 0.0, kernels) - expected).max() < 2e-6


def test_silu(kernels: str) -> None:
    x = np.linspace(-80, 80, 1600, dtype=np.float32)
    expected = x / (1 + np.exp(-x.astype(np.float64)))
    assert np.allclose(load_extension().apply("silu", x, 1, 0.0, kernels), expected, rtol=2e-6, atol=1e-30)


def test_norms(kernels: str) -> None:
    x = np.random.default_rng(0).standard_normal(256).astype(np.float32) * 3 + 1
    wide = x.astype(np.float64)
    rms = wide / np.sqrt((wide**2).mean() + 1e-6)
    layer = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-6) + 0.5
    assert np.allclose(load_extension().apply("rms_norm", x, 1, 1e-6, kernels), rms, rtol=2e-6, atol=1e-6)
    assert np.allclose(load_extension().apply("layer_norm", x, 1, 1e-6, kernels), layer, rtol=2e-6, atol=2e-6)


def test_unknown_kernels_are_refused() -> None:
    x = np.ones((1, 64), np.float32)
    with pytest.raises(ValueError, match="no such kernels"):
        load_extension().multiply(x, x, np.zeros(1, np.float32), "float32", "avx1024")


@pytest.mark.parametrize(
    ("x", "weight", "bias"), [((1, 8), (4, 9), 4), ((1, 8), (4, 8), 5), ((8,), (4, 8), 4)]
)
def test_shapes_that_do_not_fit_are_refused(x: tuple[int, ...], weight: tuple[int, ...], bias: int) -> None:
    arrays = [np.zeros(shape, np.float32) for shape in (x, weight, (bias,))]
    with pytest.raises(ValueError, match="shape"):
        load_extension().multiply(*arrays, "float32", "")


def test_extension_that_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(NotFoundError, match="C\\+\\+ compiler") as caught:
        load_extension("eureka.engine.native._absent")
    assert caught.value.reason == "NATIVE_NOT_BUILT"
