"""Checkpoints made of random weights: tiny ones in any adapter layout, and one in the shape of the release.

Foreign adapter names are made from a `MoeAdapter`, so that a test can compare what the loader makes of them
with the module that they came from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from eureka.model.adapter import ExpertBank, MoeAdapter
from eureka.model.adapter_spec import AdapterSpec
from eureka.model.config import DecoderConfig, EncoderConfig, EurekaConfig
from eureka.model.eureka_audio import EurekaAudio

TINY_CONFIG = EurekaConfig(
    name="tiny",
    audio_encoder=EncoderConfig(
        num_mel_bins=16,
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        max_source_positions=64,
    ),
    backbone=DecoderConfig(
        vocab_size=96,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
    ),
    windowing="per_item",
)
"""Stacked audio tokens are 128 wide, the decoder 48: no two widths of the adapter coincide by chance."""

TINY_SPEC = AdapterSpec(
    input_size=128,
    output_size=48,
    num_experts=4,
    top_k=2,
    expert_hidden_size=24,
    expert_output_size=40,
    projection_sizes=(48,),
)

LEFTOVERS = (
    *(f"audio_ffn_adaptor.{i}.{kind}" for i in (0, 1, 3, 4) for kind in ("weight", "bias")),
    *(f"audio_out_projection.{i}.{kind}" for i in (0, 1, 3) for kind in ("weight", "bias")),
    "audio_embed.weight",
    "audio_head.weight",
    "lm_head.weight",
)
"""The 17 unused tensors of the released file."""


POOL_SIZE = 4_194_301
"""Random numbers behind the large checkpoint; a prime, so that no two rows of a matrix fall together."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a foreign file names and shapes an adapter.

    Attributes:
        experts: `modules` (experts.3.fc1.weight), `sequential` (experts.3.0.weight), `lists` (fc1.3.weight),
            `stacked` (experts.fc1, all experts along the first axis) or `transposed` (stacked as (in, out)).
        is_fused: gate and up are one matrix.
        shared: `own` (shared.0.fc1.weight), `single` (shared.fc1.weight) or `behind` (in the routed list).
        is_flat: names outside the experts are a Sequential's numbers.
    """

    experts: str = "modules"
    is_fused: bool = False
    shared: str = "own"
    is_flat: bool = False


def tiny_model(
    spec: AdapterSpec = TINY_SPEC, config: EurekaConfig = TINY_CONFIG, seed: int = 0, ctc: int | None = None
) -> EurekaAudio:
    """A tiny model whose every weight, norms and biases included, is random."""
    generator = torch.Generator().manual_seed(seed)
    model = EurekaAudio(config, spec, num_ctc_classes=ctc)
    model.requires_grad_(False)
    model.reset_parameters()
    for name, parameter in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            parameter.uniform_(0.5, 1.5, generator=generator)
        elif parameter.dim() > 2 or "audio_moe_adaptor" in name:
            parameter.normal_(std=0.2, generator=generator)
        else:
            parameter.normal_(std=0.1, generator=generator)
    return model.eval()


def foreign_adapter(adapter: MoeAdapter, style: Style) -> dict[str, Tensor]:
    """The adapter's tensors as another code base might name them, below `audio_moe_adaptor.`."""
    tensors = dict(_outside(adapter, style))
    banks = [adapter.experts]
    if adapter.shared_experts is not None and style.shared == "behind":
        banks.append(adapter.shared_experts)
    tensors |= _bank("experts", _joined(banks), style)
    if adapter.shared_experts is not None and style.shared != "behind":
        tensors |= _bank("shared", _joined([adapter.shared_experts]), style)
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def write_checkpoint(
    folder: Path,
    model: EurekaAudio,
    *,
    adapter: Mapping[str, Tensor] | None = None,
    told: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    num_shards: int = 1,
    extra: Mapping[str, Tensor] | None = None,
    drop: tuple[str, ...] = (),
) -> Path:
    """Write a model as a checkpoint folder.

    Args:
        folder: where to.
        model: the weights.
        adapter: foreign tensors below `audio_moe_adaptor.` instead of the model's own names.
        told: the `adapter` section of config.json.
        dtype: of storage.
        num_shards: 1 writes one file, more write shards and an index.
        extra: further tensors.
        drop: names to leave out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = dict(model.state_dict())
    if adapter is not None:
        tensors = {n: t for n, t in tensors.items() if not n.startswith("audio_moe_adaptor.")}
        tensors |= {f"audio_moe_adaptor.{name}": tensor for name, tensor in adapter.items()}
    tensors = {n: t.to(dtype).contiguous() for n, t in tensors.items() if n not in drop} | dict(extra or {})
    config = replace(model.config, adapter=dict(told or {}))
    (folder / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    _write_shards(folder, _dealt(tensors, num_shards))
    return folder


def write_released_shape(folder: Path, seed: int = 0) -> Path:
    """A bfloat16 checkpoint in the shape of the release: layout A, separate head, leftovers, shards.

    Tensors are drawn shard by shard, so that memory holds one shard (about 0.6 GB) at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = replace(EurekaConfig(), backbone=replace(DecoderConfig(), tie_word_embeddings=False))
    (folder / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    generator = torch.Generator().manual_seed(seed)
    _write_shards(folder, _drawn(released_shapes(config), generator))
    return folder


def released_shapes(config: EurekaConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the released file with the adapter in layout A."""
    with torch.device("meta"):
        model = EurekaAudio(config, AdapterSpec())
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not name.startswith("audio_moe_adaptor.")
    }
    shapes |= {f"audio_moe_adaptor.{name}": shape for name, shape in layout_a().items()}
    return shapes | dict.fromkeys(LEFTOVERS, (8,))


def layout_a() -> dict[str, tuple[int, ...]]:
    """Layout A of eureka-audio section 4.3, under names of our choice."""
    shapes: dict[str, tuple[int, ...]] = {"router.weight": (8, 5120)}
    for i in range(8):
        shapes |= {
            f"experts.{i}.fc1.weight": (1280, 5120),
            f"experts.{i}.fc1.bias": (1280,),
            f"experts.{i}.fc2.weight": (2560, 1280),
            f"experts.{i}.fc2.bias": (2560,),
            f"experts.{i}.norm.weight": (2560,),
            f"experts.{i}.norm.bias": (2560,),
        }
    shapes |= {"proj.weight": (2048, 2560), "proj.bias": (2048,)}
    return shapes | {"ln.weight": (2048,), "ln.bias": (2048,)}


def layout_b() -> dict[str, tuple[int, ...]]:
    """Layout B of eureka-audio section 4.3, under names of our choice."""
    shapes: dict[str, tuple[int, ...]] = {"gate.weight": (16, 5120)}
    for i in range(16):
        shapes |= {
            f"experts.{i}.0.weight": (640, 5120),
            f"experts.{i}.2.weight": (2048, 640),
            f"experts.{i}.3.weight": (2048,),
        }
    shapes |= {"out.0.weight": (2560, 2048), "out.2.weight": (2048, 2560)}
    return shapes | {"out.3.weight": (2048,), "out.3.bias": (2048,)}


def _outside(adapter: MoeAdapter, style: Style) -> Iterator[tuple[str, Tensor]]:
    modules = [
        ("in_ln", adapter.input_norm),
        ("mid_ln", adapter.mixed_norm),
        *((f"proj{i}", linear) for i, linear in enumerate(adapter.projection)),
        ("ln", adapter.output_norm),
    ]
    if len(adapter.projection) > 1:
        modules.insert(3, ("between_ln", adapter.projection_norm))
    for number, (name, module) in enumerate(modules):
        for kind, tensor in module.named_parameters():
            yield (f"tail.{number}.{kind}" if style.is_flat else f"{name}.{kind}"), tensor
    yield "wg.weight", adapter.router.weight
    if adapter.router.bias is not None:
        yield "wg.bias", adapter.router.bias
    if adapter.router.correction_bias is not None:
        yield "e_score_correction_bias", adapter.router.correction_bias


def _joined(banks: list[ExpertBank]) -> dict[str, Tensor]:
    """Parameters of several banks of equal shape, all experts along the first axis."""
    names = dict(banks[0].named_parameters())
    return {name: torch.cat([bank.get_parameter(name) for bank in banks]) for name in names}


def _bank(prefix: str, parameters: dict[str, Tensor], style: Style) -> dict[str, Tensor]:
    if style.is_fused:
        for kind in ("weight", "bias"):
            if f"gate_{kind}" in parameters:
                halves = [parameters.pop(f"{half}_{kind}") for half in ("gate", "up")]
                parameters[f"gate_up_{kind}"] = torch.cat(halves, dim=1)
    tensors: dict[str, Tensor] = {}
    for name, tensor in parameters.items():
        role, _, kind = name.rpartition("_")
        if style.experts in ("stacked", "transposed"):
            is_turned = style.experts == "transposed" and tensor.dim() == 3
            stacked = tensor.transpose(1, 2) if is_turned else tensor
            tensors[f"{prefix}.{_STACKED_NAMES.get(role, role)}" + ("_bias" if kind == "bias" else "")] = (
                stacked
            )
            continue
        for i, one in enumerate(tensor):
            tensors[_expert_name(prefix, i, len(tensor), role, kind, style)] = one
    return tensors


_STACKED_NAMES = {"gate_up": "gate_up_proj", "gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
_MODULE_NAMES = {"gate_up": "fc1", "gate": "w1", "up": "fc1", "down": "fc2"}
_NUMBERS = {"input_norm": 0, "gate_up": 1, "gate": 1, "up": 2, "hidden_norm": 4, "down": 5, "output_norm": 6}


def _expert_name(prefix: str, i: int, count: int, role: str, kind: str, style: Style) -> str:
    name = str(_NUMBERS[role]) if style.experts == "sequential" else _MODULE_NAMES.get(role, role)
    if prefix == "shared" and style.shared == "single":
        assert count == 1, "a single shared expert"
        return f"shared.{name}.{kind}"
    if style.experts == "lists" and prefix != "shared":
        return f"{name}.{i}.{kind}"
    return f"{prefix}.{i}.{name}.{kind}"


def _dealt(tensors: dict[str, Tensor], num_shards: int) -> Iterator[dict[str, Tensor]]:
    names = sorted(tensors)
    for shard in range(num_shards):
        yield {name: tensors[name] for name in names[shard::num_shards]}


def _drawn(
    shapes: dict[str, tuple[int, ...]], generator: torch.Generator, shard_elements: int = 200_000_000
) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    pool = torch.empty(POOL_SIZE).normal_(std=0.02, generator=generator).to(torch.bfloat16)
    for name, shape in shapes.items():
        if sum(t.numel() for t in shard.values()) > shard_elements:
            yield shard
            shard = {}
        is_norm = name.endswith(("norm.weight", "ln.weight"))
        shard[name] = (
            torch.ones(shape, dtype=torch.bfloat16) if is_norm else _from_pool(pool, shape, generator)
        )
    yield shard


def _from_pool(pool: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """The pool from a random place on, as often as needed: billions of draws would take minutes."""
    start = int(torch.randint(len(pool), (1,), generator=generator))
    flat = torch.empty(math.prod(shape), dtype=pool.dtype)
    turned = pool.roll(-start)
    for place in range(0, len(flat), len(pool)):
        part = flat[place : place + len(pool)]
        part.copy_(turned[: len(part)])
    return flat.view(shape)


def _write_shards(folder: Path, shards: Iterator[dict[str, Tensor]]) -> None:
    weight_map: dict[str, str] = {}
    files: list[str] = []
    for tensors in shards:
        files.append(f"model-{len(files) + 1:05d}.safetensors")
        save_file(tensors, folder / files[-1], metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, files[-1])
    if len(files) == 1:
        (folder / files[0]).rename(folder / "model.safetensors")
        return
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
