"""The three parts together: windows to embeddings, embeddings into prompts."""

from __future__ import annotations

import pytest
import torch

from eureka.errors import InvalidInputError
from eureka.model.eureka_audio import EurekaAudio
from tests.helpers.synthetic_checkpoint import TINY_CONFIG, TINY_SPEC, tiny_model


def random_windows(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(16, length, generator=generator) for length in lengths]


def test_windows_of_different_length_embed_as_they_do_alone():
    model, windows = tiny_model(), random_windows(24, 128, 8)
    with torch.no_grad():
        together = model.embed_audio(windows)
        alone = torch.cat([model.embed_audio([window]) for window in windows])
    assert together.shape == (20, 48)
    assert ((together - alone).abs().max() / alone.abs().max()).item() <= 1e-5


def test_windows_with_constant_padding_keep_their_first_tokens():
    model, windows = tiny_model(), random_windows(64, 64)
    with torch.no_grad():
        whole = model.embed_audio(windows)
        cut = model.embed_audio(windows, [8, 3])
    assert torch.equal(cut, whole[:11])


def test_stacked_frames_join_four_encoder_frames():
    model, windows = tiny_model(), random_windows(40)
    with torch.no_grad():
        frames = model.audio_encoder(windows[0][None])[0]
        stacked = model.encode_windows(windows)
    assert torch.equal(stacked[2], frames[8:12].flatten())


def test_prompt_takes_audio_embeddings_at_audio_places_unscaled():
    model = tiny_model()
    is_audio = torch.tensor([False, True, True, False])
    audio = torch.randn(2, 48)
    with torch.no_grad():
        prompt = model.embed_prompt(torch.tensor([5, 0, 0, 7]), is_audio, audio)
        text = model.backbone.embed(torch.tensor([5, 7]))
    assert torch.equal(prompt[1:3], audio)
    assert torch.equal(prompt[[0, 3]], text)


def test_prompt_with_wrong_number_of_audio_places_is_refused():
    with pytest.raises(InvalidInputError, match="1 audio places for 2 audio embeddings"):
        tiny_model().embed_prompt(torch.tensor([5, 0]), torch.tensor([False, True]), torch.zeros(2, 48))


def test_fresh_model_is_the_same_for_the_same_seed():
    models = []
    for _ in range(2):
        torch.manual_seed(7)
        model = EurekaAudio(TINY_CONFIG, TINY_SPEC)
        model.reset_parameters()
        models.append(model.state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_tensor_names_are_those_of_the_release():
    names = set(tiny_model().state_dict())
    assert "audio_encoder.speech_encoder.layers.1.self_attn.k_proj.weight" in names
    assert "audio_encoder.speech_encoder.layers.1.self_attn.k_proj.bias" not in names
    assert "backbone.model.layers.1.self_attn.q_norm.weight" in names
    assert "backbone.lm_head.weight" not in names
    assert {name.split(".")[0] for name in names} == {"audio_encoder", "audio_moe_adaptor", "backbone"}
