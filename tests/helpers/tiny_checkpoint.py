"""A seeded checkpoint folder like nano's, made in well under a second, that answers and then ends."""

from __future__ import annotations

from pathlib import Path

import torch

from eureka.model.eureka_audio import EurekaAudio, save_checkpoint
from eureka.text.tokenizer import Tokenizer
from tests.helpers.tiny_model import tiny_model
from tests.helpers.tokenizers import small_nano_tokenizer

END_SCORE = 2.1
"""Logit of the end token at every step; answers get a few tokens long."""

NEVER_SCORE = -20.0
"""Logit of special tokens and of tokens that are no letters, so that answers are words."""


def write_tiny_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Write config, weights and tokenizer; the folder itself is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = small_nano_tokenizer(folder)
    model = tiny_model(seed)
    _teach_to_end(model, tokenizer)
    save_checkpoint(model, folder)
    return folder


@torch.no_grad()
def _teach_to_end(model: EurekaAudio, tokenizer: Tokenizer) -> None:
    """Width 0 of the residual stream is a constant, by which the head gives tokens a standing score."""
    decoder = model.backbone
    assert decoder.lm_head is not None
    decoder.model.embed_tokens.weight[:, 0] = 3.0
    adapter_norm = model.audio_moe_adaptor.output_norm
    adapter_norm.get_parameter("weight")[0] = 0.0
    adapter_norm.get_parameter("bias")[0] = 3.0
    head = decoder.lm_head.weight
    head.normal_(std=0.08, generator=torch.Generator().manual_seed(0))
    head[:, 0] = 0.0
    for token_id in range(len(head)):
        text = tokenizer.decode([token_id])
        if token_id in tokenizer.special_ids or not (text.isascii() and text.isalpha()):
            head[token_id, 0] = NEVER_SCORE / 3
    head[tokenizer.end_id] = 0.0
    head[tokenizer.end_id, 0] = END_SCORE / 3
    for layer in decoder.model.layers:
        layer.self_attn.v_proj.weight.mul_(7)  # so that audio changes answers
        layer.self_attn.o_proj.weight.mul_(7)
        layer.self_attn.o_proj.weight[0] = 0.0
        layer.mlp.down_proj.weight[0] = 0.0
