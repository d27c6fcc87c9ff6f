"""A checkpoint's weights into the extension, one tensor at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eureka.engine.native.extension import load_extension
from eureka.engine.tables import rotary_tables
from eureka.model.config import DecoderConfig, EncoderConfig

Arrays = Mapping[str, NDArray[np.float32]]

TYPES = {"exact": "float32", "fast": "bfloat16", "int8": "int8"}
"""How the numerics keep weights and activations in products; sums are float32 in all of them."""


def build_decoder(
    config: DecoderConfig,
    weights: Arrays,
    numerics: str,
    num_slots: int,
    context: int,
    kernels: str = "",
) -> Any:
    """The language model with memory for `num_slots` sequences; kernels: an instruction set, "" the best.

    Keys, values and what makes them are float32 in exact numerics, else bfloat16.
    """
    shape = {
        "width": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "inner": config.intermediate_size,
        "vocabulary": config.vocab_size,
        "context": context,
        "slots": num_slots,
        "eps": config.rms_norm_eps,
    }
    cache_type = "float32" if numerics == "exact" else "bfloat16"
    tables = rotary_tables(context, config.head_dim, config.rope_theta)
    decoder = load_extension().Decoder(shape, TYPES[numerics], cache_type, *tables, kernels)
    for layer in range(config.num_hidden_layers):
        _fill_decoder_layer(decoder, layer, weights)
    table = weights["model.embed_tokens.weight"]
    decoder.set_ends(table, weights.get("lm_head.weight", table), weights["model.norm.weight"])
    return decoder


def _fill_decoder_layer(decoder: Any, layer: int, weights: Arrays) -> None:
    def of(*names: str) -> NDArray[np.float32]:
        parts = [weights[f"model.layers.{layer}.{name}.weight"] for name in names]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    projections = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    decoder.set_linear(layer, "qkv", of(*projections))
    decoder.set_linear(layer, "o", of("self_attn.o_proj"))
    decoder.set_linear(layer, "gate_up", of("mlp.gate_proj", "mlp.up_proj"))
    decoder.set_linear(layer, "down", of("mlp.down_proj"))
    decoder.set_norm(layer, "before", of("input_layernorm"))
    decoder.set_norm(layer, "after", of("post_attention_layernorm"))
    decoder.set_norm(layer, "queries", of("self_attn.q_norm"))
    decoder.set_norm(layer, "keys", of("self_attn.k_norm"))


def build_encoder(config: EncoderConfig, weights: Arrays, numerics: str, kernels: str = "") -> Any:
    """The audio encoder: float32 in exact numerics, else bfloat16: int8 wins nothing here."""
    shape = {
        "mels": config.num_mel_bins,
        "width": config.d_model,
        "layers": config.encoder_layers,
        "heads": config.encoder_attention_heads,
        "inner": config.encoder_ffn_dim,
        "positions": config.max_source_positions,
    }
    kind = "float32" if numerics == "exact" else "bfloat16"
    encoder = load_extension().Encoder(shape, kind, weights["embed_positions.weight"], kernels)
    for name in ("conv1", "conv2"):
        taps = weights[f"{name}.weight"].transpose(0, 2, 1)  # (outputs, 3, inputs)
        encoder.set_linear(0, name, taps.reshape(len(taps), -1), weights[f"{name}.bias"])
    for layer in range(config.encoder_layers):
        _fill_encoder_layer(encoder, layer, weights)
    encoder.set_norm(0, "last", weights["layer_norm.weight"], weights["layer_norm.bias"])
    return encoder


def _fill_encoder_layer(encoder: Any, layer: int, weights: Arrays) -> None:
    def both(name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        prefix = f"layers.{layer}.{name}"
        return weights[f"{prefix}.weight"], weights[f"{prefix}.bias"]

    query, value = both("self_attn.q_proj"), both("self_attn.v_proj")
    key = weights[f"layers.{layer}.self_attn.k_proj.weight"]
    bias = np.concatenate([query[1], np.zeros(len(key), np.float32), value[1]])  # the key projection has none
    encoder.set_linear(layer, "qkv", np.concatenate([query[0], key, value[0]]), bias)
    encoder.set_linear(layer, "out", *both("self_attn.out_proj"))
    encoder.set_linear(layer, "fc1", *both("fc1"))
    encoder.set_linear(layer, "fc2", *both("fc2"))
    encoder.set_norm(layer, "before", *both("self_attn_layer_norm"))
    encoder.set_norm(layer, "after", *both("final_layer_norm"))
