"""The shape of eureka-nano: the released architecture, small."""

from __future__ import annotations

from eureka.model.config import DecoderConfig, EncoderConfig, EurekaConfig

VOCABULARY_SIZE = 1024

NANO_PROMPTS = {"transcribe_system": "<|transcribe|>", "caption": "<|caption|>", "classify": "<|classify|>"}
"""One task word each: a small decoder has no use for sentences that never vary."""


def nano_config() -> EurekaConfig:
    """Config of the shipped checkpoint: head width 64 and two kv heads keep decoding fast on CPU."""
    return EurekaConfig(
        name="eureka-nano",
        audio_encoder=EncoderConfig(
            num_mel_bins=80,
            d_model=256,
            encoder_layers=4,
            encoder_attention_heads=4,
            encoder_ffn_dim=1024,
            max_source_positions=1500,
        ),
        adapter={"num_experts": 4, "top_k": 2, "expert_hidden_size": 256},
        backbone=DecoderConfig(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=256,
            intermediate_size=768,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=64,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
        ),
        windowing="per_item",
        best_window_seconds=7.0,
        thinking="none",
        time_step_seconds=0.2,
        repetition_penalty=1.0,  # digits and times do repeat
        languages={"en": "English"},
        prompts=dict(NANO_PROMPTS),
    )
