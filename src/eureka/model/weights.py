"""The strict loader: every stored tensor has exactly one place, every parameter exactly one source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from eureka.model.adapter_layout import AdapterLayout, Source
from eureka.model.adapter_resolve import AdapterOverride
from eureka.model.attention import AttentionFunction, plain_attention
from eureka.model.eureka_audio import EurekaAudio
from eureka.model.load_plan import ADAPTER_PREFIX, LoadPlan, is_per_expert, plan_load
from eureka.model.load_report import LoadReport
from eureka.model.stored_tensors import StoredTensors


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


def build_empty(plan: LoadPlan, attention: AttentionFunction = plain_attention) -> EurekaAudio:
    """The model of a plan without memory for its weights."""
    with torch.device("meta"), _NoInitialisation():
        return EurekaAudio(plan.config, plan.adapter.spec, attention, plan.num_ctc_classes)


def read_tensor(stored: StoredTensors, name: str) -> Tensor:
    """One tensor as stored; its data is a private mapping of the file."""
    raw = torch.from_numpy(stored.read_raw(name))
    return raw.view(torch.bfloat16) if raw.dtype == torch.uint16 else raw


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
    model = build_empty(plan, attention)
    tensors = {
        name: read_tensor(plan.stored, name).to(device, dtype)
        for name in model.state_dict()
        if not name.startswith(ADAPTER_PREFIX)
    }
    tensors |= read_adapter(plan.stored, plan.adapter.layout, dtype, device)
    model.load_state_dict(tensors, assign=True)
    return model.eval(), plan.report()


def read_adapter(
    stored: StoredTensors, layout: AdapterLayout, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Parameters of the adapter by their full name in the model."""
    return {
        ADAPTER_PREFIX + name: _materialise(stored, source, is_per_expert(name)).to(device, dtype)
        for name, source in layout.sources.items()
    }


def _materialise(stored: StoredTensors, source: Source, has_experts: bool) -> Tensor:
    parts = []
    for piece in source.bundle.pieces:
        tensor = read_tensor(stored, ADAPTER_PREFIX + piece.tensor)
        tensor = tensor if piece.index is None else tensor[piece.index]
        tensor = tensor.transpose(-1, -2) if source.is_transposed else tensor
        parts.append(tensor if source.half is None else tensor.chunk(2)[source.half])
    return torch.stack(parts) if has_experts else parts[0].contiguous()
