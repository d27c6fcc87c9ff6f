"""One part of a checkpoint, loaded alone: each model process holds the weights that it runs and no others."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from eureka.model.adapter import MoeAdapter
from eureka.model.decoder import Decoder
from eureka.model.encoder import AudioEncoder
from eureka.model.load_plan import ADAPTER_PREFIX, BACKBONE_PREFIX, ENCODER_PREFIX, LoadPlan, plan_load
from eureka.model.weights import build_empty, read_adapter, read_tensor

Part = TypeVar("Part", bound=nn.Module)


def load_encoder(folder: Path, dtype: torch.dtype, device: str) -> tuple[AudioEncoder, LoadPlan]:
    """The encoder of a checkpoint, and the plan with its config.

    Raises:
        InvalidCheckpointError: the folder as a whole does not fit.
    """
    plan = plan_load(folder)
    encoder = build_empty(plan).audio_encoder.speech_encoder
    return _filled(encoder, _stored(plan, encoder, ENCODER_PREFIX, dtype, device)), plan


def load_adapter(folder: Path, dtype: torch.dtype, device: str) -> tuple[MoeAdapter, LoadPlan]:
    """The adapter of a checkpoint; as `load_encoder`."""
    plan = plan_load(folder)
    tensors = read_adapter(plan.stored, plan.adapter.layout, dtype, device)
    own = {name.removeprefix(ADAPTER_PREFIX): tensor for name, tensor in tensors.items()}
    return _filled(build_empty(plan).audio_moe_adaptor, own), plan


def load_decoder(folder: Path, dtype: torch.dtype, device: str) -> tuple[Decoder, LoadPlan]:
    """The language model of a checkpoint; as `load_encoder`."""
    plan = plan_load(folder)
    decoder = build_empty(plan).backbone
    return _filled(decoder, _stored(plan, decoder, BACKBONE_PREFIX, dtype, device)), plan


def _stored(
    plan: LoadPlan, part: nn.Module, prefix: str, dtype: torch.dtype, device: str
) -> dict[str, Tensor]:
    return {name: read_tensor(plan.stored, prefix + name).to(device, dtype) for name in part.state_dict()}


def _filled(part: Part, tensors: dict[str, Tensor]) -> Part:
    part.load_state_dict(tensors, assign=True)
    return part.eval()
