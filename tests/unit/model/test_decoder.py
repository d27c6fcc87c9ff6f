"""The decoder against transformers' Qwen3ForCausalLM; cached, ragged and padded against plain."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from eureka.model.attention import fused_attention
from eureka.model.config import DecoderConfig
from eureka.model.decoder import Decoder, left_padding
from eureka.model.kv_cache import KvCache
from eureka.model.norms import RmsNorm

CONFIG = DecoderConfig(
    vocab_size=90,
    hidden_size=48,
    intermediate_size=96,
    num_hidden_layers=3,
    num_attention_heads=6,
    num_key_value_heads=2,
    head_dim=16,
)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def random_decoder(is_tied: bool = True, attention=None) -> Decoder:
    torch.manual_seed(2)
    config = replace(CONFIG, tie_word_embeddings=is_tied)
    decoder = Decoder(config, attention) if attention else Decoder(config)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            parameter.uniform_(0.5, 1.5) if "norm" in name else parameter.normal_(std=0.2)
    return decoder.eval().requires_grad_(False)


@pytest.mark.parametrize("is_tied", [True, False])
def test_decoder_logits_equal_qwen3(is_tied):
    from transformers import Qwen3Config, Qwen3ForCausalLM

    ours = random_decoder(is_tied)
    theirs = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=90,
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=16,
            rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
            tie_word_embeddings=is_tied,
            attn_implementation="eager",
        )
    ).eval()
    # strict=False: transformers lists a tied head a second time.
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert unexpected == [] and set(missing) <= {"lm_head.weight"}
    ids = torch.randint(0, 90, (2, 33))
    with torch.no_grad():
        expected = theirs(ids).logits
    assert relative_error(ours.logits(ours(ours.embed(ids))), expected) <= 1e-5


def test_decoder_with_cache_equals_one_pass():
    decoder, embeddings = random_decoder(), torch.randn(1, 20, 48)
    whole = decoder(embeddings)
    cache = KvCache(CONFIG, num_slots=3, capacity=20)
    slots = torch.tensor([1])
    parts = [decoder(embeddings[:, :13], torch.arange(13)[None], cache.rows(slots, 13))]
    for position in range(13, 20):
        new = embeddings[:, position : position + 1]
        parts.append(decoder(new, torch.tensor([[position]]), cache.rows(slots, position + 1)))
    assert relative_error(torch.cat(parts, dim=1), whole) <= 1e-5


@pytest.mark.parametrize("slots", [[0, 1, 2], [3, 0, 2]])
def test_decoder_step_over_slots_of_different_length_equals_single(slots):
    decoder, lengths = random_decoder(), [5, 17, 9]
    sequences = [torch.randn(1, length + 1, 48) for length in lengths]
    cache = KvCache(CONFIG, num_slots=4, capacity=24)
    cache.keys.fill_(3.0)  # what an earlier owner left behind must not matter
    cache.values.fill_(3.0)
    for slot, length, sequence in zip(slots, lengths, sequences, strict=True):
        decoder(sequence[:, :length], torch.arange(length)[None], cache.rows(torch.tensor([slot]), length))
    last = torch.cat([sequence[:, -1:] for sequence in sequences])
    rows = cache.rows(torch.tensor(slots), max(lengths) + 1)
    step = decoder(last, torch.tensor(lengths)[:, None], rows)
    for row, sequence in enumerate(sequences):
        assert relative_error(step[row], decoder(sequence)[0, -1:]) <= 1e-5


def test_decoder_with_left_padding_equals_unpadded():
    decoder, embeddings = random_decoder(), torch.randn(3, 14, 48)
    padding = [0, 4, 9]
    positions, key_mask = left_padding(torch.tensor(padding), 14)
    padded = decoder(embeddings, positions, key_mask=key_mask)
    for row, count in enumerate(padding):
        alone = decoder(embeddings[row : row + 1, count:])
        assert relative_error(padded[row : row + 1, count:], alone) <= 1e-5
    assert padded.isfinite().all()


def test_decoder_with_fused_attention_equals_plain():
    embeddings = torch.randn(2, 11, 48)
    assert (
        relative_error(random_decoder(attention=fused_attention)(embeddings), random_decoder()(embeddings))
        <= 1e-5
    )


def test_decoder_rotation_survives_half_precision_weights():
    # Positions beyond 256 are not exact in bfloat16; angles must come from float32 all the same.
    decoder = random_decoder()
    embeddings, positions = torch.randn(1, 2, 48), torch.tensor([[1000, 1003]])
    exact = decoder(embeddings, positions, key_mask=torch.ones(1, 1, 2, 2, dtype=torch.bool))
    half = decoder.to(torch.bfloat16)(
        embeddings.bfloat16(), positions, key_mask=torch.ones(1, 1, 2, 2, dtype=torch.bool)
    )
    assert relative_error(half.float(), exact) < 0.05


def test_fresh_decoder_starts_with_small_residuals():
    decoder = Decoder(CONFIG)
    decoder.reset_parameters()
    layer = decoder.model.layers[0]
    assert layer.mlp.up_proj.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert layer.mlp.down_proj.weight.std().item() == pytest.approx(0.02 / 6**0.5, rel=0.1)
    assert decoder.lm_head is None


def test_rms_norm_in_bfloat16_casts_before_the_weight():
    norm = RmsNorm(32, 1e-6).to(torch.bfloat16)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
    x = torch.randn(7, 32).bfloat16()
    exact = x.double()
    scaled = exact / (exact.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt()
    assert torch.equal(norm(x), scaled.to(torch.bfloat16) * norm.weight)
