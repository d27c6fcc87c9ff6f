"""The encoder against transformers' WhisperEncoder, and its masks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from eureka.errors import InvalidInputError
from eureka.model.attention import fused_attention
from eureka.model.config import EncoderConfig
from eureka.model.encoder import AudioEncoder, convolve, sinusoids, stack_frames

CONFIG = EncoderConfig(
    num_mel_bins=20,
    d_model=64,
    encoder_layers=3,
    encoder_attention_heads=4,
    encoder_ffn_dim=128,
    max_source_positions=60,
)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def random_encoder(max_source_positions: int = 60, attention=None) -> AudioEncoder:
    torch.manual_seed(1)
    config = EncoderConfig(20, 64, 3, 4, 128, max_source_positions)
    encoder = AudioEncoder(config, attention) if attention else AudioEncoder(config)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(std=0.15)
    return encoder.eval().requires_grad_(False)


@pytest.mark.parametrize("num_frames", [8, 40, 120])
def test_encoder_with_true_length_window_equals_whisper(num_frames):
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    ours = random_encoder(num_frames // 2)
    theirs = WhisperEncoder(
        WhisperConfig(
            num_mel_bins=20,
            d_model=64,
            encoder_layers=3,
            encoder_attention_heads=4,
            encoder_ffn_dim=128,
            max_source_positions=num_frames // 2,
            attn_implementation="eager",
        )
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    log_mel = torch.randn(2, 20, num_frames)
    with torch.no_grad():
        expected = theirs(log_mel).last_hidden_state
    assert relative_error(ours(log_mel), expected) <= 1e-5


def test_encoder_with_right_padding_equals_unpadded():
    encoder = random_encoder()
    lengths = [16, 48, 120]
    batch = 5 * torch.randn(3, 20, 120)  # what stands in the padding must not matter
    frames = encoder(batch, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone = encoder(batch[row : row + 1, :, :length])
        assert relative_error(frames[row : row + 1, : length // 2], alone) <= 1e-5


def test_encoder_without_lengths_hears_the_tail():
    encoder = random_encoder()
    log_mel = torch.randn(1, 20, 80)
    quiet = functional.pad(log_mel[:, :, :40], (0, 40), value=-1.5)
    assert relative_error(encoder(quiet)[:, :20], encoder(log_mel[:, :, :40])) > 1e-3


def test_encoder_position_offset_shifts_the_table():
    encoder = random_encoder()
    log_mel = torch.randn(2, 20, 40)
    shifted = encoder(log_mel, position_offset=torch.tensor([0, 7]))
    plain = encoder(log_mel)
    assert relative_error(shifted[:1], plain[:1]) <= 1e-6
    with torch.no_grad():
        encoder.embed_positions.weight.copy_(encoder.embed_positions.weight.roll(-7, dims=0))
    assert relative_error(shifted[1:], encoder(log_mel)[1:]) <= 1e-6


@pytest.mark.parametrize("num_frames", [7, 122, 0])
def test_encoder_with_bad_length_is_refused(num_frames):
    with pytest.raises(InvalidInputError, match="even number of 2 to 120 mel frames"):
        random_encoder()(torch.randn(1, 20, num_frames))


def test_encoder_with_fused_attention_equals_plain():
    log_mel, lengths = torch.randn(2, 20, 64), torch.tensor([24, 64])
    plain = random_encoder()(log_mel, lengths)
    fused = random_encoder(attention=fused_attention)(log_mel, lengths)
    assert relative_error(fused[0, :12], plain[0, :12]) <= 1e-5
    assert relative_error(fused[1], plain[1]) <= 1e-5


@pytest.mark.parametrize("stride", [1, 2])
def test_convolve_equals_conv1d(stride):
    convolution = nn.Conv1d(5, 7, kernel_size=3, stride=stride, padding=1)
    frames = torch.randn(2, 5, 12)
    ours = convolve(frames.transpose(1, 2), convolution).transpose(1, 2)
    torch.testing.assert_close(ours, convolution(frames), rtol=1e-5, atol=1e-6)


def test_fresh_encoder_starts_with_whispers_positions():
    from transformers.models.whisper.modeling_whisper import sinusoids as whisper_sinusoids

    encoder = AudioEncoder(CONFIG)
    encoder.reset_parameters()
    torch.testing.assert_close(encoder.embed_positions.weight.detach(), whisper_sinusoids(60, 64))
    torch.testing.assert_close(sinusoids(9, 8), whisper_sinusoids(9, 8))


def test_encoder_in_training_gives_gradients_to_every_weight():
    encoder = AudioEncoder(CONFIG)
    encoder.reset_parameters()
    frames = encoder(torch.randn(2, 20, 40), torch.tensor([24, 40]), torch.tensor([3, 0]))
    frames.square().mean().backward()
    missing = [
        name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ]
    assert missing == []


def test_stack_frames_joins_neighbours_in_order():
    frames = torch.arange(16.0).reshape(1, 8, 2)
    stacked = stack_frames(frames, 4)
    assert stacked.shape == (1, 2, 8)
    assert stacked[0, 1].tolist() == [8, 9, 10, 11, 12, 13, 14, 15]
