"""The Qwen3-style decoder: embeddings to hidden states to logits.

Names follow Hugging Face's Qwen3ForCausalLM below `backbone`: `model.*` and `lm_head.weight`, the latter
absent when the head is the embedding table. eureka-audio section 3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from eureka.model.attention import AttentionFunction, additive_mask, plain_attention
from eureka.model.config import DecoderConfig
from eureka.model.kv_cache import LayerKeysValues
from eureka.model.norms import RmsNorm

Rotation = tuple[Tensor, Tensor]
"""cos and sin of every position, (B, 1, L, P) each."""


def rotation_of(positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> Rotation:
    """Rotary angles of positions (B, L), computed in float32, given in `dtype`."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device) / head_dim
    angles = positions[..., None].float() * theta**-exponents  # (B, L, P/2)
    angles = torch.cat([angles, angles], dim=-1)[:, None]  # (B, 1, L, P)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate the two halves of the head width of x (B, H, L, P) against each other."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def causal_visible(positions: Tensor, num_keys: int) -> Tensor:
    """(B, 1, L, T) bool from positions (B, L): which keys each query sees, key j standing at position j."""
    return torch.arange(num_keys, device=positions.device) <= positions[:, None, :, None]


def left_padding(num_padding: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Positions and mask of rows that end together and start after different amounts of padding.

    Args:
        num_padding: (B,) int64, places before the first true one.
        length: L, places in a row.

    Returns:
        positions (B, L), 0 on the padding, and key_mask (B, 1, L, L).
    """
    places = torch.arange(length, device=num_padding.device)
    positions = (places - num_padding[:, None]).clamp(min=0)
    is_real = places >= num_padding[:, None]  # (B, L)
    return positions, (places <= places[:, None]) & is_real[:, None, None, :]


class DecoderAttention(nn.Module):
    """Grouped-query attention with normed queries and keys; norm comes before the rotation."""

    def __init__(self, config: DecoderConfig, layer: int, attention: AttentionFunction) -> None:
        super().__init__()
        self.layer, self.head_dim, self.attention = layer, config.head_dim, attention
        width, query_width = config.hidden_size, config.num_attention_heads * config.head_dim
        kv_width = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(width, query_width, bias=False)
        self.k_proj = nn.Linear(width, kv_width, bias=False)
        self.v_proj = nn.Linear(width, kv_width, bias=False)
        self.o_proj = nn.Linear(query_width, width, bias=False)
        self.q_norm = RmsNorm(config.head_dim, config.rms_norm_eps)
        self.k_norm = RmsNorm(config.head_dim, config.rms_norm_eps)

    def project(self, x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, L, P), keys and values (B, K, L, P) of x (B, L, D), ready to attend."""
        queries = self.q_norm(self._split(self.q_proj(x))).transpose(1, 2)
        keys = self.k_norm(self._split(self.k_proj(x))).transpose(1, 2)
        values = self._split(self.v_proj(x)).transpose(1, 2)
        return rotate(queries, rotation), rotate(keys, rotation), values

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Mix values (B, K, T, P) by queries (B, H, L, P) into (B, L, D); mask additive, (B, 1, L, T)."""
        mixed = self.attention(queries, keys, values, mask, self.head_dim**-0.5)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def forward(
        self,
        x: Tensor,
        rotation: Rotation,
        positions: Tensor,
        cache: LayerKeysValues | None,
        mask: Tensor | None,
    ) -> Tensor:
        """Attend x (B, L, D) to itself and, with a cache, to what came before."""
        queries, keys, values = self.project(x, rotation)
        if cache is not None:
            keys, values = cache.update(self.layer, keys, values, positions)
        return self.attend(queries, keys, values, mask)

    def _split(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        return x.view(batch, length, -1, self.head_dim)  # (B, L, H, P)


class GatedMlp(nn.Module):
    """SwiGLU feed-forward: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform x (B, L, D)."""
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class DecoderLayer(nn.Module):
    """Pre-norm block: attention, then the gated feed-forward, each added to its input."""

    def __init__(self, config: DecoderConfig, layer: int, attention: AttentionFunction) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = DecoderAttention(config, layer, attention)
        self.post_attention_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = GatedMlp(config)

    def forward(
        self,
        x: Tensor,
        rotation: Rotation,
        positions: Tensor,
        cache: LayerKeysValues | None,
        mask: Tensor | None,
    ) -> Tensor:
        """Transform x (B, L, D)."""
        x = x + self.self_attn(self.input_layernorm(x), rotation, positions, cache, mask)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class DecoderStack(nn.Module):
    """Token table, blocks and final norm: the `model` of a causal language model."""

    def __init__(self, config: DecoderConfig, attention: AttentionFunction) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            DecoderLayer(config, layer, attention) for layer in range(config.num_hidden_layers)
        )
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)


class Decoder(nn.Module):
    """A causal language model over embeddings.

    Args:
        config: shape of the model; `tie_word_embeddings` leaves `lm_head` out.
        attention: how attention is computed.
    """

    def __init__(self, config: DecoderConfig, attention: AttentionFunction = plain_attention) -> None:
        super().__init__()
        self.config = config
        self.model = DecoderStack(config, attention)
        self.lm_head: nn.Linear | None = None
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def embed(self, token_ids: Tensor) -> Tensor:
        """Embeddings (..., D) of token ids (...)."""
        embeddings: Tensor = self.model.embed_tokens(token_ids)
        return embeddings

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token scores (..., V) of hidden states (..., D)."""
        head = self.model.embed_tokens if self.lm_head is None else self.lm_head
        return functional.linear(hidden, head.weight)

    def forward(
        self,
        inputs_embeds: Tensor,
        positions: Tensor | None = None,
        cache: LayerKeysValues | None = None,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        """Hidden states after the final norm.

        Args:
            inputs_embeds: (B, L, D).
            positions: (B, L) int64; 0..L-1 when None. With a cache they also say where the keys are stored.
            cache: keys and values of earlier passes; rows of one pass may differ in length.
            key_mask: (B, 1, L, T) bool, True where query l sees key t. None: key t stands at position t
                (as caches store them) and is seen by queries at or behind it. Left-padded batches pass
                `left_padding(...)`.

        Returns:
            (B, L, D).
        """
        batch, length, _ = inputs_embeds.shape
        if positions is None:
            positions = torch.arange(length, device=inputs_embeds.device).expand(batch, length)
        config = self.config
        rotation = rotation_of(positions, config.head_dim, config.rope_theta, inputs_embeds.dtype)
        if key_mask is None:
            key_mask = causal_visible(positions, length if cache is None else cache.length)
        mask = additive_mask(key_mask, inputs_embeds.dtype)
        x = inputs_embeds
        for layer in self.model.layers:
            x = layer(x, rotation, positions, cache, mask)
        out: Tensor = self.model.norm(x)
        return out

    def reset_parameters(self) -> None:
        """Draw fresh weights: normal 0.02, residual outputs scaled by depth, norms one."""
        residual_std = 0.02 / math.sqrt(2 * max(1, self.config.num_hidden_layers))
        for name, parameter in self.named_parameters():
            if "norm" in name:
                nn.init.ones_(parameter)
            else:
                is_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=residual_std if is_residual else 0.02)
