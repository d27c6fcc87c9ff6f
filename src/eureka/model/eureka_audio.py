"""The whole model: encoder, adapter and decoder under the names of a checkpoint; and writing checkpoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from eureka.errors import InvalidInputError
from eureka.model.adapter import MoeAdapter
from eureka.model.adapter_spec import AdapterSpec
from eureka.model.attention import AttentionFunction, plain_attention
from eureka.model.config import EncoderConfig, EurekaConfig
from eureka.model.decoder import Decoder
from eureka.model.encoder import AudioEncoder, stack_frames
from eureka.model.stored_tensors import WEIGHTS_FILE


class SpeechTower(nn.Module):
    """Holds the encoder under the name `speech_encoder` that checkpoints give it."""

    def __init__(self, config: EncoderConfig, attention: AttentionFunction) -> None:
        super().__init__()
        self.speech_encoder = AudioEncoder(config, attention)

    def forward(
        self, log_mel: Tensor, num_frames: Tensor | None = None, position_offset: Tensor | None = None
    ) -> Tensor:
        """Encoder frames (B, T, D) of log_mel (B, M, F); arguments as `AudioEncoder`."""
        frames: Tensor = self.speech_encoder(log_mel, num_frames, position_offset)
        return frames


class EurekaAudio(nn.Module):
    """Audio encoder, MoE adapter and language model.

    Weights are uninitialised memory or torch's defaults until `reset_parameters` or a loader fills them.

    Args:
        config: shape of the parts and manner of use.
        adapter_spec: shape of the adapter; from `config` when None.
        attention: how both stacks compute attention.
        num_ctc_classes: rows of the auxiliary `ctc_head` over encoder frames; None for no head.
    """

    def __init__(
        self,
        config: EurekaConfig,
        adapter_spec: AdapterSpec | None = None,
        attention: AttentionFunction = plain_attention,
        num_ctc_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.audio_encoder = SpeechTower(config.audio_encoder, attention)
        self.audio_moe_adaptor = MoeAdapter(adapter_spec or AdapterSpec.from_config(config))
        self.backbone = Decoder(config.backbone, attention)
        width = config.audio_encoder.d_model
        self.ctc_head = None if num_ctc_classes is None else nn.Linear(width, num_ctc_classes)

    @property
    def num_parameters(self) -> int:
        """Elements of all weights, a tied head counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def reset_parameters(self) -> None:
        """Draw fresh weights for all three parts, from torch's global generator."""
        self.audio_encoder.speech_encoder.reset_parameters()
        self.audio_moe_adaptor.reset_parameters()
        self.backbone.reset_parameters()

    def embed_audio(
        self, log_mels: Sequence[Tensor], num_audio_tokens: Sequence[int] | None = None
    ) -> Tensor:
        """Audio embeddings (A, W) of windows of any length; arguments as `encode_windows`."""
        embeddings: Tensor = self.audio_moe_adaptor(self.encode_windows(log_mels, num_audio_tokens))
        return embeddings

    def embed_prompt(self, prompt_ids: Tensor, is_audio: Tensor, audio_embeddings: Tensor) -> Tensor:
        """Prompt embeddings (L, W): the token table, with audio embeddings in place of audio positions.

        Args:
            prompt_ids: (L,) int64.
            is_audio: (L,) bool, A places True.
            audio_embeddings: (A, W), unscaled; eureka-audio section 4.2.

        Raises:
            InvalidInputError: the number of audio places is not A.
        """
        count = int(is_audio.sum())
        if count != len(audio_embeddings):
            raise InvalidInputError(
                f"the prompt has {count} audio places for {len(audio_embeddings)} audio embeddings"
            )
        embeddings = self.backbone.embed(prompt_ids)
        return embeddings.index_put((is_audio,), audio_embeddings.to(embeddings.dtype))

    def encode_windows(
        self, log_mels: Sequence[Tensor], num_audio_tokens: Sequence[int] | None = None
    ) -> Tensor:
        """Stacked encoder frames of windows of any length, in their order.

        Args:
            log_mels: windows (M, F), each F a multiple of 8; encoded together, right-padded and masked.
            num_audio_tokens: rows that each window contributes, the rest being constant padding that the
                window carries itself; all F / 8 when None.

        Returns:
            (A, stack * D), what the adapter takes, the windows' audio tokens one after another.
        """
        frames_per_token = 2 * self.config.stack_frames
        lengths = [log_mel.shape[1] for log_mel in log_mels]
        counts = [length // frames_per_token for length in lengths]
        longest = max(lengths)
        batch = torch.stack([functional.pad(m, (0, longest - m.shape[1])) for m in log_mels])  # (B, M, F)
        is_even = min(lengths) == longest
        num_frames = None if is_even else torch.tensor(lengths, device=batch.device)
        stacked = stack_frames(self.audio_encoder(batch, num_frames), self.config.stack_frames)
        kept = [min(a, b) for a, b in zip(counts, num_audio_tokens or counts, strict=True)]
        return torch.cat([row[:count] for row, count in zip(stacked, kept, strict=True)])


def save_checkpoint(model: EurekaAudio, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write `config.json` and `model.safetensors` into a folder, replacing older ones only when complete.

    Tokenizer and model card are not written here. A tied head is stored once, as the embedding table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = replace(
        model.config, adapter=model.audio_moe_adaptor.spec.to_dict(), ctc_head=model.ctc_head is not None
    )
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in model.state_dict().items()}
    partial = folder / (WEIGHTS_FILE + ".partial")
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.replace(folder / WEIGHTS_FILE)
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
