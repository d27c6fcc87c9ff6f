"""The peer: our weights in transformers' own classes, used as their documents show."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM, WhisperConfig, WhisperFeatureExtractor
from transformers.generation.streamers import BaseStreamer
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from eureka.model.decoder import Decoder
from eureka.model.encoder import stack_frames
from eureka.model.eureka_audio import EurekaAudio
from eureka.text.prompts import Prompt, PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import SAMPLE_RATE_HZ, SAMPLES_PER_AUDIO_TOKEN, Pcm


def whisper_of(model: EurekaAudio) -> WhisperEncoder:
    """Our encoder as transformers' own; SDPA attention, its default."""
    ours = model.config.audio_encoder
    encoder = WhisperEncoder(
        WhisperConfig(
            num_mel_bins=ours.num_mel_bins,
            d_model=ours.d_model,
            encoder_layers=ours.encoder_layers,
            encoder_attention_heads=ours.encoder_attention_heads,
            encoder_ffn_dim=ours.encoder_ffn_dim,
            max_source_positions=ours.max_source_positions,
        )
    )
    encoder.load_state_dict(model.audio_encoder.speech_encoder.state_dict())
    return encoder.eval()


def qwen_of(backbone: Decoder) -> Qwen3ForCausalLM:
    """Our decoder as transformers' own, on the same memory."""
    ours = backbone.config
    config = Qwen3Config(
        vocab_size=ours.vocab_size,
        hidden_size=ours.hidden_size,
        intermediate_size=ours.intermediate_size,
        num_hidden_layers=ours.num_hidden_layers,
        num_attention_heads=ours.num_attention_heads,
        num_key_value_heads=ours.num_key_value_heads,
        head_dim=ours.head_dim,
        rms_norm_eps=ours.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": ours.rope_theta},
        max_position_embeddings=ours.max_position_embeddings,
        tie_word_embeddings=ours.tie_word_embeddings,
    )
    decoder = Qwen3ForCausalLM(config)
    missing, unexpected = decoder.load_state_dict(backbone.state_dict(), strict=False, assign=True)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    decoder.tie_weights()
    return decoder.eval()


class _Stamps(BaseStreamer):
    """Processor time at each token that `generate` hands out; the first call is the prompt's."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: Tensor) -> None:
        """Note one step."""
        self.times.append(time.process_time())

    def end(self) -> None:
        """Nothing is left to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """Ids (B, new) of a batch, and processor seconds of a decode step, prefill apart."""

    ids: list[list[int]]
    step_seconds: float


class TransformersDecoder:
    """`Qwen3ForCausalLM.generate`, greedy, without an end token, on prompts of one length.

    Args:
        backbone: weights.
    """

    def __init__(self, backbone: Decoder) -> None:
        self.model = qwen_of(backbone)

    @torch.inference_mode()
    def generate(self, prompts: Tensor, num_tokens: int, **options: Any) -> Generated:
        """Exactly `num_tokens` greedy tokens behind each of the prompt embeddings (B, L, W).

        Args:
            options: of `generate`; cache_implementation="static" for one that takes memory once.
        """
        stamps = _Stamps()
        ids = self.model.generate(
            inputs_embeds=prompts,
            attention_mask=torch.ones(prompts.shape[:2], dtype=torch.int64),
            max_new_tokens=num_tokens,
            do_sample=False,
            pad_token_id=0,
            streamer=stamps,
            disable_compile=True,
            **options,
        )
        first, last = stamps.times[1], stamps.times[-1]
        return Generated([row.tolist() for row in ids], (last - first) / max(1, num_tokens - 1))

    @torch.inference_mode()
    def embed(self, prompt: Prompt, embeddings: np.ndarray[Any, Any]) -> Tensor:
        """Prompt embeddings (L, W), the rows (A, W) of audio put in place."""
        inputs: Tensor = self.model.get_input_embeddings()(torch.from_numpy(prompt.prompt_ids))
        inputs[torch.from_numpy(np.flatnonzero(prompt.token_type_ids))] = torch.from_numpy(embeddings)
        return inputs


class TransformersHearing:
    """WhisperEncoder and Qwen3ForCausalLM with the adapter between them, audio padded to 30 s.

    The adapter is ours, for transformers has none.
    """

    def __init__(self, model: EurekaAudio, tokenizer: Tokenizer) -> None:
        config = model.config
        self.features = WhisperFeatureExtractor(feature_size=config.audio_encoder.num_mel_bins)
        self.encoder = whisper_of(model)
        self.adapter = model.audio_moe_adaptor
        self.decoder = TransformersDecoder(model.backbone)
        self._num_stacked = config.stack_frames
        self._prompts = PromptBuilder(tokenizer, config)

    @torch.inference_mode()
    def embed(self, pcm: Pcm) -> np.ndarray[Any, Any]:
        """Audio embeddings (A, W) of a clip of at most 30 s: pad, log-mel, encode, adapt, cut."""
        features = self.features(pcm, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        tokens = stack_frames(self.encode(features.input_features), self._num_stacked)[0]  # (375, 4*D)
        rows: Tensor = self.adapter(tokens)[: -(-len(pcm) // SAMPLES_PER_AUDIO_TOKEN)]
        return rows.numpy()

    @torch.inference_mode()
    def encode(self, log_mel: Tensor) -> Tensor:
        """Encoder frames (1, 1500, D) of a padded window (1, M, 3000)."""
        frames: Tensor = self.encoder(log_mel).last_hidden_state
        return frames

    def generate(self, embeddings: np.ndarray[Any, Any], num_tokens: int) -> list[int]:
        """Exactly `num_tokens` greedy tokens about the embeddings (A, W)."""
        inputs = self.decoder.embed(self._prompts.transcribe(len(embeddings)), embeddings)
        return self.decoder.generate(inputs[None], num_tokens).ids[0]
