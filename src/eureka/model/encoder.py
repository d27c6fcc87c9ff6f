"""The Whisper-style audio encoder: log_mel to encoder frames at 50 per second.

Names follow Hugging Face's WhisperEncoder, so that `audio_encoder.speech_encoder.*` of a checkpoint fits as
it is. Convolutions are computed as one matrix product over three shifted copies: on CPU this is faster than
the convolution kernels and needs no kernel per shape.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from eureka.errors import InvalidInputError
from eureka.model.attention import AttentionFunction, additive_mask, plain_attention
from eureka.model.config import EncoderConfig

MAX_TIMESCALE = 10_000
"""Longest wavelength of Whisper's position table, in positions per radian."""


def sinusoids(length: int, channels: int) -> Tensor:
    """Whisper's position table (length, channels): sines in the first half of the width, then cosines."""
    increment = math.log(MAX_TIMESCALE) / (channels // 2 - 1)
    inverse_timescales = torch.exp(-increment * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * inverse_timescales[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def stack_frames(encoder_frames: Tensor, count: int) -> Tensor:
    """Join `count` neighbouring frames into one audio token: (B, T, D) -> (B, T // count, count * D)."""
    batch, num_frames, width = encoder_frames.shape
    return encoder_frames.reshape(batch, num_frames // count, count * width)


def convolve(frames: Tensor, convolution: nn.Conv1d) -> Tensor:
    """Kernel-3, padding-1 convolution over time in channels-last form.

    Args:
        frames: (B, F, C).
        convolution: holds weight (D, C, 3), bias (D,) and the stride.

    Returns:
        (B, ceil(F / stride), D).
    """
    stride, num_frames = convolution.stride[0], frames.shape[1]
    padded = functional.pad(frames, (0, 0, 1, 1))
    taps = [padded[:, tap : tap + num_frames : stride] for tap in range(3)]
    weight = convolution.weight.permute(0, 2, 1).flatten(1)  # (D, 3*C)
    return functional.linear(torch.cat(taps, dim=-1), weight, convolution.bias)


class SelfAttention(nn.Module):
    """Multi-head attention of all frames to all frames; the key projection has no bias."""

    def __init__(self, width: int, num_heads: int, attention: AttentionFunction) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (width // num_heads) ** -0.5
        self.attention = attention
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """Attend; frames (B, T, D), mask additive (B, 1, 1, T) or None."""
        queries, keys, values = (
            self._split(projection(frames)) for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = self.attention(queries, keys, values, mask, self.scale)  # (B, H, T, P)
        projected: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))  # (B, T, D)
        return projected

    def _split(self, frames: Tensor) -> Tensor:
        batch, length, _ = frames.shape
        return frames.view(batch, length, self.num_heads, -1).transpose(1, 2)  # (B, H, T, P)


class EncoderLayer(nn.Module):
    """Pre-norm block: attention, then a GELU feed-forward, each added to its input."""

    def __init__(self, config: EncoderConfig, attention: AttentionFunction) -> None:
        super().__init__()
        width = config.d_model
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.self_attn = SelfAttention(width, config.encoder_attention_heads, attention)
        self.final_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, width)

    def forward(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """Transform frames (B, T, D); mask as `SelfAttention`."""
        frames = frames + self.self_attn(self.self_attn_layer_norm(frames), mask)
        hidden = functional.gelu(self.fc1(self.final_layer_norm(frames)))
        out: Tensor = frames + self.fc2(hidden)
        return out


class AudioEncoder(nn.Module):
    """Two convolutions, a position table and `encoder_layers` blocks; eureka-audio section 2."""

    def __init__(self, config: EncoderConfig, attention: AttentionFunction = plain_attention) -> None:
        super().__init__()
        width = config.d_model
        self.config = config
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.max_source_positions, width)
        self.layers = nn.ModuleList(EncoderLayer(config, attention) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(width)

    def forward(
        self, log_mel: Tensor, num_frames: Tensor | None = None, position_offset: Tensor | None = None
    ) -> Tensor:
        """Encode a batch of log-mel windows.

        Args:
            log_mel: (B, M, F), F even and at most twice max_source_positions.
            num_frames: (B,) int64, true length of each row in mel frames, even; what lies behind is padding
                that no true frame sees. None: every row is full (a constant tail is then heard as it is).
            position_offset: (B,) int64, first row of the position table for each row; 0 when None.

        Returns:
            Encoder frames (B, T, D), T = F / 2; rows behind num_frames / 2 hold no meaning.

        Raises:
            InvalidInputError: F is odd or the window exceeds the position table.
        """
        self._check_length(log_mel.shape[-1])
        frames = log_mel.transpose(1, 2)  # (B, F, M)
        real = None if num_frames is None else _real_frames(num_frames, frames.shape[1])  # (B, F)
        frames = functional.gelu(convolve(_silenced(frames, real), self.conv1))
        frames = functional.gelu(convolve(_silenced(frames, real), self.conv2))  # (B, T, D)
        frames = frames + self._positions(frames.shape[1], position_offset)
        mask = None if real is None else additive_mask(real[:, None, None, ::2], frames.dtype)
        for layer in self.layers:
            frames = layer(frames, mask)
        out: Tensor = self.layer_norm(frames)
        return out

    def _check_length(self, num_frames: int) -> None:
        limit = 2 * self.config.max_source_positions
        if num_frames % 2 or not 0 < num_frames <= limit:
            raise InvalidInputError(
                f"a window holds an even number of 2 to {limit} mel frames, not {num_frames}"
            )

    def _positions(self, length: int, offset: Tensor | None) -> Tensor:
        if offset is None:
            return self.embed_positions.weight[:length]
        rows = offset[:, None] + torch.arange(length, device=offset.device)  # (B, T)
        positions: Tensor = self.embed_positions(rows)
        return positions

    def reset_parameters(self) -> None:
        """Draw fresh weights: stem by fan-in, blocks normal 0.02, residual outputs scaled by depth."""
        residual_std = 0.02 / math.sqrt(2 * max(1, self.config.encoder_layers))
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv1d):
                nn.init.normal_(module.weight, std=(3 * module.in_channels) ** -0.5)
            elif isinstance(module, nn.Linear):
                is_residual = name.endswith(("out_proj", "fc2"))
                nn.init.normal_(module.weight, std=residual_std if is_residual else 0.02)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            if isinstance(module, nn.Conv1d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.embed_positions.weight.copy_(sinusoids(*self.embed_positions.weight.shape))


def _real_frames(num_frames: Tensor, length: int) -> Tensor:
    return torch.arange(length, device=num_frames.device) < num_frames[:, None]  # (B, F)


def _silenced(frames: Tensor, real: Tensor | None) -> Tensor:
    return frames if real is None else frames.masked_fill(~real[:, :, None], 0.0)
