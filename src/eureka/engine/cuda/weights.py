"""A language model's weights as decode steps read them: projections joined, some of them in 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from eureka.engine.tables import rotary_tables
from eureka.model.config import DecoderConfig
from eureka.model.decoder import Decoder
from eureka.model.load_plan import BACKBONE_PREFIX, LoadPlan
from eureka.model.weights import read_tensor

Storage = Literal["full", "int8", "fp8"]
"""How the blocks' linears lie in memory: in the type of the arithmetic, or in 8 bits with a factor a row."""

_LARGEST_INT8 = 127.0
_LARGEST_FP8 = 448.0  # of float8_e4m3fn


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A product with the transpose of `weight`, whose rows are multiplied by `scale`.

    Attributes:
        weight: (N, D).
        scale: (N,) float32; None for a weight that is taken as it is.
    """

    weight: Tensor
    scale: Tensor | None = None

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The weight (N, D) in the type of the arithmetic."""
        if self.scale is None:
            return self.weight
        return (self.weight.float() * self.scale[:, None]).to(dtype)

    def product(self, x: Tensor) -> Tensor:
        """x (..., D) times the weight: (..., N), by the library's own product; for many rows."""
        return functional.linear(x, self.dense(x.dtype))

    @property
    def num_bytes(self) -> int:
        """What a step reads of it."""
        return self.weight.nbytes + (0 if self.scale is None else self.scale.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class LayerWeights:
    """One block.

    Attributes:
        qkv: queries, keys and values, ((H + 2 K) P, D).
        o: (D, H P).
        gate_up: gate, then up, (2 I, D).
        down: (D, I).
        before: norm in front of attention, (D,).
        after: norm behind attention, (D,).
        queries: norm of queries, (P,).
        keys: norm of keys, (P,).
    """

    qkv: Linear
    o: Linear
    gate_up: Linear
    down: Linear
    before: Tensor
    after: Tensor
    queries: Tensor
    keys: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class DecoderWeights:
    """All of a language model.

    Attributes:
        config: its shape.
        layers: blocks in order.
        table: embeddings of tokens, (V, D).
        head: (V, D), the table itself where they are tied; never in 8 bits.
        norm: in front of the head, (D,).
        cos: (C, P / 2) float32.
        sin: as cos.
    """

    config: DecoderConfig
    layers: tuple[LayerWeights, ...]
    table: Tensor
    head: Linear
    norm: Tensor
    cos: Tensor
    sin: Tensor

    @property
    def dtype(self) -> torch.dtype:
        """Of arithmetic, keys and values."""
        return self.table.dtype

    @property
    def device(self) -> torch.device:
        """Where all of it lies."""
        return self.table.device

    @property
    def step_bytes(self) -> int:
        """What one decode step reads: all but the table's other rows."""
        linears = [one for layer in self.layers for one in (layer.qkv, layer.o, layer.gate_up, layer.down)]
        return sum(linear.num_bytes for linear in (*linears, self.head))


def read_weights(
    plan: LoadPlan, context: int, dtype: torch.dtype, device: str, storage: Storage = "full"
) -> DecoderWeights:
    """The language model of a checkpoint, moved over one tensor at a time."""

    def read(name: str) -> Tensor:
        return read_tensor(plan.stored, BACKBONE_PREFIX + name).to(device, dtype)

    return _build(plan.config.backbone, read, context, storage)


def weights_of(decoder: Decoder, context: int, storage: Storage = "full") -> DecoderWeights:
    """Those of a decoder in memory, in its type and on its device; `head` and `table` are shared with it."""
    tensors = decoder.state_dict()
    return _build(decoder.config, lambda name: tensors[name].detach(), context, storage)


def quantise(weight: Tensor, storage: Storage) -> Linear:
    """A weight (N, D) as `storage` says; each row of 8 bits reaches the largest number that they hold."""
    if storage == "full":
        return Linear(weight)
    largest = _LARGEST_INT8 if storage == "int8" else _LARGEST_FP8
    scale = weight.float().abs().amax(dim=1).clamp(min=1e-12) / largest
    scaled = weight.float() / scale[:, None]
    packed = scaled.round().to(torch.int8) if storage == "int8" else scaled.to(torch.float8_e4m3fn)
    return Linear(packed, scale)


def _build(
    config: DecoderConfig, read: Callable[[str], Tensor], context: int, storage: Storage
) -> DecoderWeights:
    table = read("model.embed_tokens.weight")
    cos, sin = (
        torch.from_numpy(each).to(table.device)
        for each in rotary_tables(context, config.head_dim, config.rope_theta)
    )
    return DecoderWeights(
        config,
        tuple(_layer(f"model.layers.{i}.", read, storage) for i in range(config.num_hidden_layers)),
        table,
        Linear(table if config.tie_word_embeddings else read("lm_head.weight")),
        read("model.norm.weight"),
        cos,
        sin,
    )


def _layer(prefix: str, read: Callable[[str], Tensor], storage: Storage) -> LayerWeights:
    def linear(*names: str) -> Linear:
        parts = [read(f"{prefix}{name}.weight") for name in names]
        return quantise(parts[0] if len(parts) == 1 else torch.cat(parts), storage)

    def norm(name: str) -> Tensor:
        return read(f"{prefix}{name}.weight")

    return LayerWeights(
        qkv=linear("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        o=linear("self_attn.o_proj"),
        gate_up=linear("mlp.gate_proj", "mlp.up_proj"),
        down=linear("mlp.down_proj"),
        before=norm("input_layernorm"),
        after=norm("post_attention_layernorm"),
        queries=norm("self_attn.q_norm"),
        keys=norm("self_attn.k_norm"),
    )
