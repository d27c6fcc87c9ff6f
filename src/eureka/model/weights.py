"""The strict loader: every stored tensor has exactly one place, every parameter exactly one source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from eureka.errors import InvalidCheckpointError
from eureka.model.adapter_layout import AdapterLayout, Source, claimed_shares
from eureka.model.adapter_resolve import AdapterOverride, ResolvedAdapter, resolve_adapter
from eureka.model.adapter_tensors import Shape
from eureka.model.attention import AttentionFunction, plain_attention
from eureka.model.config import EurekaConfig
from eureka.model.eureka_audio import EurekaAudio
from eureka.model.load_report import LoadReport
from eureka.model.stored_tensors import StoredTensors

ENCODER_PREFIX = "audio_encoder.speech_encoder."
BACKBONE_PREFIX = "backbone."
ADAPTER_PREFIX = "audio_moe_adaptor."
CTC_PREFIX = "ctc_head."
HEAD = "backbone.lm_head.weight"

KNOWN_LEFTOVERS = frozenset(
    [f"audio_ffn_adaptor.{i}.{kind}" for i in (0, 1, 3, 4) for kind in ("weight", "bias")]
    + [f"audio_out_projection.{i}.{kind}" for i in (0, 1, 3) for kind in ("weight", "bias")]
    + ["audio_embed.weight", "audio_head.weight", "lm_head.weight"]
)
"""Tensors of the released file that its model does not use; eureka-audio section 4.4 rule 2."""


class _NoInitialisation(TorchFunctionMode):
    """Leaves new weights undrawn: they have no memory, and torch would import its compiler (2 s) for it."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a checkpoint holds and where each of its tensors goes; made from file headers alone.

    Attributes:
        folder: the checkpoint.
        config: with `tie_word_embeddings` as the file has it.
        stored: its tensors.
        adapter: specification and sources of the adapter.
        skipped: known leftovers in the file.
        num_ctc_classes: rows of `ctc_head`; None without one.
    """

    folder: Path
    config: EurekaConfig
    stored: StoredTensors
    adapter: ResolvedAdapter
    skipped: tuple[str, ...]
    num_ctc_classes: int | None

    def build_empty(self, attention: AttentionFunction = plain_attention) -> EurekaAudio:
        """The model without memory for its weights."""
        with torch.device("meta"), _NoInitialisation():
            return EurekaAudio(self.config, self.adapter.spec, attention, self.num_ctc_classes)

    def report(self) -> LoadReport:
        """What there is to say about this checkpoint."""
        model = self.build_empty()
        parts = {
            "audio_encoder": model.audio_encoder,
            "audio_moe_adaptor": model.audio_moe_adaptor,
            "backbone": model.backbone,
        }
        dtypes = sorted(set(self.stored.dtypes.values()))
        return LoadReport(
            name=self.config.name,
            folder=str(self.folder),
            windowing=self.config.windowing,
            num_tensors=len(self.stored.shapes),
            num_bytes=self.stored.num_bytes,
            dtypes={d: sum(t == d for t in self.stored.dtypes.values()) for d in dtypes},
            parameters={name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()},
            head="tied" if self.config.backbone.tie_word_embeddings else "separate",
            adapter=self.adapter.spec.to_dict(),
            adapter_origins=self.adapter.origins,
            adapter_roles=dict(self.adapter.layout.roles),
            unsettled=tuple(self.adapter.unsettled),
            num_ambiguous_roles=len(self.adapter.layout.alternatives),
            skipped=self.skipped,
            num_ctc_classes=self.num_ctc_classes,
        )


def load_checkpoint(
    folder: Path,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    override: AdapterOverride | None = None,
    attention: AttentionFunction = plain_attention,
) -> tuple[EurekaAudio, LoadReport]:
    """The model of a checkpoint folder in evaluation mode, and what was found.

    Weights stored in `dtype` stay memory-mapped on the CPU; others are converted one tensor at a time.

    Args:
        folder: holds config.json, the weights, and possibly `adapter_override.json`.
        dtype: of all weights in memory.
        device: where they go.
        override: instead of the override file.
        attention: how both stacks compute attention.

    Raises:
        InvalidCheckpointError: anything is missing, left over, of the wrong shape or in disagreement.
    """
    plan = plan_load(folder, override)
    model = plan.build_empty(attention)
    tensors = {
        name: plan.stored.read(name).to(device, dtype)
        for name in model.state_dict()
        if not name.startswith(ADAPTER_PREFIX)
    }
    tensors |= read_adapter(plan.stored, plan.adapter.layout, dtype, device)
    model.load_state_dict(tensors, assign=True)
    return model.eval(), plan.report()


def plan_load(folder: Path, override: AdapterOverride | None = None) -> LoadPlan:
    """Read config and file headers of a checkpoint and check that everything fits; see `load_checkpoint`."""
    config = EurekaConfig.from_folder(folder)
    stored = StoredTensors(folder)
    is_tied = HEAD not in stored.shapes
    config = replace(config, backbone=replace(config.backbone, tie_word_embeddings=is_tied))
    adapter_shapes = {
        name.removeprefix(ADAPTER_PREFIX): shape
        for name, shape in stored.shapes.items()
        if name.startswith(ADAPTER_PREFIX)
    }
    adapter = resolve_adapter(adapter_shapes, config, override or AdapterOverride.from_folder(folder))
    skipped = tuple(sorted(KNOWN_LEFTOVERS & set(stored.shapes)))
    plan = LoadPlan(folder, config, stored, adapter, skipped, _ctc_classes(config, stored.shapes))
    expected = {name: tuple(t.shape) for name, t in plan.build_empty().state_dict().items()}
    _check_adapter(adapter.layout, adapter_shapes, expected)
    _check_plain(stored.shapes, expected, skipped)
    return plan


def read_adapter(
    stored: StoredTensors, layout: AdapterLayout, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Parameters of the adapter by their full name in the model."""
    return {
        ADAPTER_PREFIX + name: _materialise(stored, source, _is_per_expert(name)).to(device, dtype)
        for name, source in layout.sources.items()
    }


def _materialise(stored: StoredTensors, source: Source, is_per_expert: bool) -> Tensor:
    parts = []
    for piece in source.bundle.pieces:
        tensor = stored.read(ADAPTER_PREFIX + piece.tensor)
        tensor = tensor if piece.index is None else tensor[piece.index]
        tensor = tensor.transpose(-1, -2) if source.is_transposed else tensor
        parts.append(tensor if source.half is None else tensor.chunk(2)[source.half])
    return torch.stack(parts) if is_per_expert else parts[0].contiguous()


def _is_per_expert(parameter: str) -> bool:
    return parameter.startswith(("experts.", "shared_experts."))


def _ctc_classes(config: EurekaConfig, shapes: Mapping[str, Shape]) -> int | None:
    shape = shapes.get(CTC_PREFIX + "weight")
    return shape[0] if config.ctc_head and shape else None


def _check_adapter(layout: AdapterLayout, stored: Mapping[str, Shape], expected: Mapping[str, Shape]) -> None:
    """Parameters and sources match, and every stored adapter tensor is used exactly once."""
    wanted = {n.removeprefix(ADAPTER_PREFIX) for n in expected if n.startswith(ADAPTER_PREFIX)}
    odd = sorted(wanted ^ set(layout.sources))
    if odd:
        where = "has no tensor" if odd[0] in wanted else "is stored but not part of the adapter"
        raise InvalidCheckpointError(f"adapter parameter {odd[0]} {where}")
    used: dict[str, float] = dict.fromkeys(stored, 0.0)
    pieces = {name: 1 for name in stored}
    for source in layout.sources.values():
        for piece in source.bundle.pieces:
            if piece.index is not None:
                pieces[piece.tensor] = stored[piece.tensor][0]
    for tensor, share in claimed_shares(layout):
        used[tensor] += share / pieces[tensor]
    for tensor, share in used.items():
        if abs(share - 1) > 1e-6:
            raise InvalidCheckpointError(f"adapter tensor {tensor} is used {share:g} times instead of once")


def _check_plain(
    stored: Mapping[str, Shape], expected: Mapping[str, Shape], skipped: tuple[str, ...]
) -> None:
    """Every other tensor matches the model by name and shape, apart from known leftovers."""
    plain = {name: shape for name, shape in expected.items() if not name.startswith(ADAPTER_PREFIX)}
    for name, shape in plain.items():
        if name not in stored:
            raise InvalidCheckpointError(f"tensor {name} {list(shape)} is missing")
        if stored[name] != shape:
            raise InvalidCheckpointError(
                f"tensor {name} has shape {list(stored[name])}, config.json asks for {list(shape)}"
            )
    for name in sorted(stored):
        if name not in plain and name not in skipped and not name.startswith(ADAPTER_PREFIX):
            raise InvalidCheckpointError(f"unexpected tensor {name} {list(stored[name])}")
