"""A seeded model small enough to build in milliseconds, with nano's architecture and manner of use."""

from __future__ import annotations

from typing import Any

import torch

from eureka.model.config import EurekaConfig
from eureka.model.eureka_audio import EurekaAudio

TINY_CONFIG: dict[str, Any] = {
    "name": "tiny",
    "audio_encoder": {
        "num_mel_bins": 80,
        "d_model": 64,
        "encoder_layers": 1,
        "encoder_attention_heads": 1,
        "encoder_ffn_dim": 64,
    },
    "adapter": {"num_experts": 4, "top_k": 2, "expert_hidden_size": 64},
    "backbone": {
        "vocab_size": 640,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 64,
        "tie_word_embeddings": False,
    },
    "windowing": "per_item",
    "best_window_seconds": 10.0,
    "thinking": "none",
    "time_step_seconds": 0.2,
    "prompts": {
        "transcribe_system": "<|transcribe|>",
        "caption": "<|caption|>",
        "classify": "<|classify|>",
    },
}


def tiny_model(seed: int = 0, **changes: Any) -> EurekaAudio:
    """A random model; `changes` replace top-level fields of TINY_CONFIG.

    The token table is drawn wide and the head is apart, so that greedy answers vary and are never near a tie.
    """
    model = EurekaAudio(EurekaConfig.from_dict({**TINY_CONFIG, **changes}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.reset_parameters()
        with torch.no_grad():
            model.backbone.model.embed_tokens.weight.normal_(std=1.0)
    return model.eval()
