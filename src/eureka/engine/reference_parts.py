"""Parts of a checkpoint in eager torch, each loaded alone; see `engine.audio_parts` for two contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.audio_parts import RoutedTokens
from eureka.engine.request import Floats
from eureka.model.adapter import MoeAdapter
from eureka.model.attention import AttentionFunction, plain_attention
from eureka.model.decoder import Decoder
from eureka.model.encoder import AudioEncoder
from eureka.model.eureka_audio import EurekaAudio
from eureka.model.load_plan import ADAPTER_PREFIX, BACKBONE_PREFIX, ENCODER_PREFIX, LoadPlan
from eureka.model.weights import build_empty, read_adapter, read_tensor

if TYPE_CHECKING:
    from eureka.engine.choice import BackendChoice

Part = TypeVar("Part", bound=nn.Module)


class ReferenceEncoder:
    """Computes in the encoder's own dtype and on its device."""

    def __init__(self, encoder: AudioEncoder) -> None:
        self._encoder = encoder.eval()
        self._dtype, self._device = encoder.conv1.weight.dtype, encoder.conv1.weight.device

    @torch.inference_mode()
    def encode(self, log_mel: Floats) -> Floats:
        """Encoder frames (T, D) of a window (M, F)."""
        window = torch.tensor(log_mel, dtype=self._dtype, device=self._device)
        frames: Floats = self._encoder(window[None])[0].float().cpu().numpy()
        return frames


class ReferenceRouter:
    """Computes in the adapter's own dtype and on its device."""

    def __init__(self, adapter: MoeAdapter) -> None:
        self._adapter = adapter.eval()
        weight = adapter.router.weight
        self._dtype, self._device = weight.dtype, weight.device

    @torch.inference_mode()
    def route(self, tokens: Floats) -> RoutedTokens:
        """What the adapter makes of tokens (A, stack * D)."""
        return self.route_tensor(torch.tensor(tokens, device=self._device))

    @torch.inference_mode()
    def route_tensor(self, tokens: Tensor) -> RoutedTokens:
        """The same of tokens that are on the device already."""
        routed = self._adapter.route(tokens.to(self._dtype))
        return RoutedTokens(
            routed.audio_embeddings.float().cpu().numpy(),
            routed.selected.cpu().numpy(),
            routed.gates.float().cpu().numpy(),
        )


def reference_embedder(model: EurekaAudio) -> AudioEmbedder:
    """Encoder and adapter of a model that is loaded, behind pcm in and embeddings out."""
    encoder = ReferenceEncoder(model.audio_encoder.speech_encoder)
    return AudioEmbedder(encoder, ReferenceRouter(model.audio_moe_adaptor), model.config)


def read_encoder(plan: LoadPlan, choice: BackendChoice) -> ReferenceEncoder:
    """The encoder of a checkpoint, no other weights."""
    return ReferenceEncoder(read_encoder_module(plan, choice))


def read_encoder_module(
    plan: LoadPlan, choice: BackendChoice, attention: AttentionFunction = plain_attention
) -> AudioEncoder:
    """The encoder's module, attention computed in this way."""
    encoder = build_empty(plan, attention).audio_encoder.speech_encoder
    return _filled(encoder, _stored(plan, encoder, ENCODER_PREFIX, choice), choice)


def read_router(plan: LoadPlan, choice: BackendChoice) -> ReferenceRouter:
    """The adapter of a checkpoint, no other weights."""
    dtype = getattr(torch, choice.dtype)
    tensors = read_adapter(plan.stored, plan.adapter.layout, dtype, choice.device)
    own = {name.removeprefix(ADAPTER_PREFIX): tensor for name, tensor in tensors.items()}
    return ReferenceRouter(_filled(build_empty(plan).audio_moe_adaptor, own, choice))


def read_decoder(plan: LoadPlan, choice: BackendChoice) -> Decoder:
    """The language model of a checkpoint, no other weights."""
    decoder = build_empty(plan).backbone
    return _filled(decoder, _stored(plan, decoder, BACKBONE_PREFIX, choice), choice)


def _stored(plan: LoadPlan, part: nn.Module, prefix: str, choice: BackendChoice) -> dict[str, Tensor]:
    dtype = getattr(torch, choice.dtype)
    names = part.state_dict()
    return {name: read_tensor(plan.stored, prefix + name).to(choice.device, dtype) for name in names}


def _filled(part: Part, tensors: dict[str, Tensor], choice: BackendChoice) -> Part:
    torch.set_num_threads(choice.num_threads)  # of the whole process: more would fight its neighbours
    part.load_state_dict(tensors, assign=True)
    return part.eval()
