"""Each kernel against plain torch of the same meaning, by Triton's interpreter where there is no GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eureka.engine.cuda.ops import PlainOps, StepRows
from eureka.engine.cuda.paged_cache import PAGE_TOKENS, PagedCache
from eureka.engine.cuda.weights import DecoderWeights, Linear, quantise, weights_of
from tests.helpers.tiny_model import tiny_model

pytest.importorskip("triton", reason="the package triton is not installed")

from eureka.engine.cuda.triton_ops import TritonOps, attention_parts, tile

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NEAR = {torch.float32: 1e-5, torch.float16: 0.003, torch.bfloat16: 0.02}
# The interpreter multiplies the bits of bfloat16 as if they were integers.
TYPES = [torch.float32, torch.bfloat16 if torch.cuda.is_available() else torch.float16]
SLOTS, CONTEXT = 4, 7 * PAGE_TOKENS


@pytest.fixture(scope="module", params=TYPES, ids=["float32", "16 bits"])
def weights(request: pytest.FixtureRequest) -> DecoderWeights:
    shape = {
        "vocab_size": 96,
        "hidden_size": 72,  # fills no tile
        "intermediate_size": 88,
        "num_hidden_layers": 1,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 32,
    }
    model = tiny_model(backbone=shape)
    with torch.no_grad():
        for name, parameter in model.backbone.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return weights_of(model.backbone.to(DEVICE, request.param), CONTEXT)


def random(*shape: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(DEVICE, dtype)


def near(ours: torch.Tensor, plain: torch.Tensor) -> bool:
    assert ours.shape == plain.shape and ours.dtype == plain.dtype
    bound = NEAR[plain.dtype] * (1 if DEVICE == "cpu" else 3) * float(plain.float().abs().max())
    return float((ours.float() - plain.float()).abs().max()) <= bound


def cache_of(weights: DecoderWeights, lengths: list[int]) -> tuple[PagedCache, StepRows]:
    """Slots whose pages lie mixed, each with random keys and values, and the rows of a step over them."""
    config = weights.config
    cache = PagedCache(config, SLOTS, CONTEXT, None, weights.dtype, DEVICE)
    for tokens in range(1, CONTEXT + 1, PAGE_TOKENS):
        for slot in reversed(range(SLOTS)):
            cache.reserve(slot, tokens)
    cache.keys.copy_(random(*cache.keys.shape, dtype=weights.dtype, seed=1))
    cache.values.copy_(random(*cache.values.shape, dtype=weights.dtype, seed=2))
    slots = torch.arange(len(lengths)).flip(0).to(DEVICE)
    return cache, StepRows(slots, torch.tensor(lengths).to(DEVICE), torch.ones_like(slots))


@pytest.mark.parametrize("num_rows", [1, 17, 70])
@pytest.mark.parametrize("has_norm", [True, False])
def test_linear(weights: DecoderWeights, num_rows: int, has_norm: bool) -> None:
    layer, x = weights.layers[0], random(num_rows, 72, dtype=weights.dtype)
    residual = None if has_norm else random(num_rows, len(layer.qkv.weight), dtype=weights.dtype, seed=1)
    norm = layer.before if has_norm else None
    ours, plain = (
        ops.linear(x, layer.qkv, norm, residual) for ops in (TritonOps(weights), PlainOps(weights))
    )
    assert near(ours, plain)


def test_logits_are_float32(weights: DecoderWeights) -> None:
    x = random(3, 72, dtype=weights.dtype)
    ours, plain = (
        ops.linear(x, weights.head, weights.norm, dtype=torch.float32)
        for ops in (TritonOps(weights), PlainOps(weights))
    )
    assert ours.dtype == torch.float32
    assert float((ours - plain).abs().max()) <= NEAR[weights.dtype] * float(plain.abs().max())


@pytest.mark.parametrize("num_rows", [1, 33])
def test_gated(weights: DecoderWeights, num_rows: int) -> None:
    layer, x = weights.layers[0], random(num_rows, 72, dtype=weights.dtype)
    ours, plain = (
        ops.gated(x, layer.after, layer.gate_up) for ops in (TritonOps(weights), PlainOps(weights))
    )
    assert near(ours, plain)


@pytest.mark.parametrize("storage", ["int8", "fp8"])
def test_weights_of_8_bits(weights: DecoderWeights, storage: str) -> None:
    layer, x = weights.layers[0], random(5, 72, dtype=weights.dtype)
    packed = quantise(layer.gate_up.weight, storage)  # type: ignore[arg-type]
    assert packed.weight.element_size() == 1
    full = layer.gate_up.weight.float()
    step = full.abs().amax(dim=1, keepdim=True) / (127 if storage == "int8" else 14)
    assert bool(((packed.dense(torch.float32) - full).abs() <= step * 0.51).all())
    for ours, plain in (
        [ops.gated(x, layer.after, packed) for ops in (TritonOps(weights), PlainOps(weights))],
        [ops.linear(x, packed) for ops in (TritonOps(weights), PlainOps(weights))],
    ):
        assert near(ours, plain)


def test_heads_write_to_the_page_of_their_place(weights: DecoderWeights) -> None:
    config = weights.config
    qkv = random(SLOTS, (6 + 2 * 2) * config.head_dim, dtype=weights.dtype, seed=3)
    lengths = [0, PAGE_TOKENS - 1, PAGE_TOKENS, 3 * PAGE_TOKENS + 5]
    results = []
    for kind in (TritonOps, PlainOps):
        cache, rows = cache_of(weights, lengths)
        rows.active[2] = 0  # writes to the page that is nobody's
        before = cache.keys[0, 1:].clone()
        queries = kind(weights).heads(qkv, 0, rows, cache)
        assert int((cache.keys[0, 1:] != before).any(-1).any(1).sum()) == 3
        results.append((queries, cache.keys, cache.values))
    assert all(near(ours, plain) for ours, plain in zip(*results, strict=True))


@pytest.mark.parametrize("lengths", [[0], [0, PAGE_TOKENS - 1, PAGE_TOKENS, CONTEXT - 1]])
def test_attention_in_parts(weights: DecoderWeights, lengths: list[int]) -> None:
    cache, rows = cache_of(weights, lengths)
    queries = random(len(lengths), 6, weights.config.head_dim, dtype=weights.dtype, seed=4)
    ours, plain = (ops.attend(queries, 0, rows, cache) for ops in (TritonOps(weights), PlainOps(weights)))
    assert near(ours, plain)


def test_attention_does_not_see_what_lies_behind_the_end(weights: DecoderWeights) -> None:
    cache, rows = cache_of(weights, [PAGE_TOKENS + 3])
    queries = random(1, 6, weights.config.head_dim, dtype=weights.dtype, seed=4)
    ops = TritonOps(weights)
    before = ops.attend(queries, 0, rows, cache)
    pages, inside = cache.places(0, PAGE_TOKENS + 4, 2 * PAGE_TOKENS)
    cache.keys[0][pages, :, inside] = float("nan")
    cache.values[0][pages, :, inside] = float("nan")
    assert torch.equal(ops.attend(queries, 0, rows, cache), before)


def test_a_row_does_not_depend_on_its_mates(weights: DecoderWeights) -> None:
    x, ops = random(16, 72, dtype=weights.dtype), TritonOps(weights)
    layer = weights.layers[0]
    alone, among = ops.gated(x[3:4], layer.after, layer.gate_up), ops.gated(x, layer.after, layer.gate_up)
    assert torch.equal(alone[0], among[3])


def test_tiles_and_parts_are_what_the_hardware_takes() -> None:
    for num_rows in (1, 2, 16, 17, 48, 64, 65, 256):
        for num_outputs in (64, 4096, 151_936):
            for dtype in TYPES:
                sizes = tile(num_rows, num_outputs, dtype)
                assert all(size >= 16 and size & (size - 1) == 0 for size in sizes)
    assert attention_parts(8, 44) == 32
    assert attention_parts(8, 3) == 3  # no more than a sequence has pages
    assert attention_parts(2048, 44) == 1


def test_linear_of_8_bits_keeps_what_a_step_reads(weights: DecoderWeights) -> None:
    full = Linear(weights.layers[0].down.weight)
    assert quantise(full.weight, "int8").num_bytes == full.weight.numel() + 4 * len(full.weight)
    assert np.isfinite(quantise(torch.zeros(2, 3), "int8").dense(torch.float32).numpy()).all()
