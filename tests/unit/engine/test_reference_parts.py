import numpy as np
import pytest
import torch

from eureka.audio.log_mel import log_mel
from eureka.engine.reference_parts import reference_embedder
from eureka.errors import InvalidAudioError
from eureka.model.eureka_audio import EurekaAudio
from tests.helpers.tiny_model import tiny_model


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(round(16_000 * seconds))).astype(np.float32)


@torch.inference_mode()
def slow_embed(model: EurekaAudio, mel: np.ndarray, num_tokens: int) -> np.ndarray:
    """Encoder, stack of four frames, adapter, one window alone."""
    frames = model.audio_encoder(torch.tensor(mel)[None])[0]  # (T, D)
    stacked = torch.stack([frames[4 * i : 4 * i + 4].reshape(-1) for i in range(num_tokens)])
    return model.audio_moe_adaptor(stacked).numpy()


def test_embed_per_item_encodes_each_item_at_its_true_length(model: EurekaAudio) -> None:
    embedder = reference_embedder(model)
    items = [noise(0.5), noise(1.23, 1)]
    ours = embedder.embed(items)
    mels = [log_mel(pcm, 80) for pcm in items]
    expected = [slow_embed(model, mel, mel.shape[1] // 8) for mel in mels]
    np.testing.assert_allclose(ours, np.concatenate(expected), rtol=1e-4, atol=1e-5)
    assert ours.shape == (7 + 16, embedder.width)
    assert embedder.encoded_seconds == pytest.approx(23 * 0.08)


def test_embed_reference_pads_one_stream_and_drops_the_padding() -> None:
    model = tiny_model(windowing="reference", best_window_seconds=30.0)
    embedder = reference_embedder(model)
    items = [noise(0.5), noise(1.0, 1)]
    stream = np.concatenate([log_mel(pcm, 80) for pcm in items], axis=1)
    window = np.full((80, 3000), -1.5, dtype=np.float32)
    window[:, : stream.shape[1]] = stream
    num_tokens = stream.shape[1] // 8
    np.testing.assert_allclose(
        embedder.embed(items), slow_embed(model, window, num_tokens), rtol=1e-4, atol=1e-5
    )
    assert embedder.encoded_seconds == pytest.approx(num_tokens * 0.08)


@pytest.mark.parametrize("items", [[], [noise(1.0), np.zeros(0, np.float32)]], ids=["none", "empty"])
def test_embed_without_samples_is_refused(model: EurekaAudio, items: list[np.ndarray]) -> None:
    with pytest.raises(InvalidAudioError):
        reference_embedder(model).embed(items)
