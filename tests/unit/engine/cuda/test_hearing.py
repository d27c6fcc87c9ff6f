"""Log-mel, encoder windows, batches and embeddings of the GPU backend against those of the reference."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from eureka.audio.encoder_input import build_encoder_windows
from eureka.audio.log_mel import log_mel as numpy_log_mel
from eureka.engine.cuda.hearing import Batcher, CudaEmbedder, CudaEncoder
from eureka.engine.cuda.log_mel import device_windows, log_mel
from eureka.engine.reference_parts import ReferenceEncoder, ReferenceRouter, reference_embedder
from eureka.errors import InvalidAudioError
from eureka.model.attention import fused_attention
from eureka.model.eureka_audio import EurekaAudio, save_checkpoint
from eureka.model.weights import load_checkpoint
from tests.helpers.tiny_model import tiny_model

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


@pytest.mark.parametrize("num_samples", [1, 1280, 16_001, 160_000])
@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_log_mel_is_that_of_numpy(num_samples: int, num_mel_bins: int) -> None:
    pcm = noise(num_samples)
    pcm[num_samples // 2 :] *= 1e-3  # so that the floor is reached
    ours = log_mel(pcm, num_mel_bins, DEVICE).cpu().numpy()
    expected = numpy_log_mel(pcm, num_mel_bins)
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 1e-4


def test_log_mel_of_silence_and_of_nothing() -> None:
    silence = np.zeros(3000, np.float32)
    assert np.allclose(log_mel(silence, 80, DEVICE).cpu(), numpy_log_mel(silence, 80))
    with pytest.raises(InvalidAudioError) as caught:
        log_mel(np.zeros(0, np.float32), 80, DEVICE)
    assert caught.value.reason == "EMPTY_AUDIO"


@pytest.mark.parametrize("windowing", ["reference", "per_item"])
def test_windows_are_those_of_numpy(windowing: str) -> None:
    items = [noise(16_000 * 31, 1), noise(5_000, 2)]
    ours = device_windows(items, windowing, 80, 10.0, DEVICE)
    expected = build_encoder_windows(items, windowing, 80, 10.0)
    assert [w.num_audio_tokens for w in ours] == [w.num_audio_tokens for w in expected]
    for window, theirs in zip(ours, expected, strict=True):
        assert np.abs(window.log_mel.cpu().numpy() - theirs.log_mel).max() < 1e-4


def test_windows_of_all_threads_are_batched_by_length() -> None:
    batches: list[tuple[int, ...]] = []
    gate = threading.Event()

    def run(windows: torch.Tensor) -> torch.Tensor:
        gate.wait(10)
        batches.append(tuple(windows.shape))
        return windows.sum(dim=1, keepdim=True)

    batcher, found = Batcher(run, max_batch=3), {}

    def ask(number: int) -> None:
        found[number] = batcher.encode([torch.full((2, 4 + number % 2), float(number))])[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while len(batcher._line) < 7:  # one is on its way
        gate.wait(0.01)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert all(torch.equal(found[n], torch.full((1, 4 + n % 2), 2.0 * n)) for n in range(8))
    assert sum(shape[0] for shape in batches) == 8
    assert len(batches) <= 5 and max(shape[0] for shape in batches) <= 3


def test_a_batch_that_fails_fails_its_own_windows_only() -> None:
    def run(windows: torch.Tensor) -> torch.Tensor:
        if windows.shape[-1] == 3:
            raise ValueError("odd")
        return windows

    batcher = Batcher(run)
    with pytest.raises(ValueError, match="odd"):
        batcher.encode([torch.zeros(1, 2), torch.zeros(1, 3)])
    assert len(batcher.encode([torch.zeros(1, 2)])) == 1


@pytest.fixture(scope="module", params=["reference", "per_item"])
def model(request: pytest.FixtureRequest) -> EurekaAudio:
    return tiny_model(windowing=request.param)


def test_embeddings_are_those_of_the_reference(model: EurekaAudio, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path)
    fused = load_checkpoint(tmp_path, device=DEVICE, attention=fused_attention)[0]
    encoder = CudaEncoder(fused.audio_encoder.speech_encoder)
    ours = CudaEmbedder(encoder, ReferenceRouter(fused.audio_moe_adaptor), model.config)
    theirs = reference_embedder(model)
    items = [noise(16_000 * 12, 1), noise(7_000, 2)]
    with ours.watched() as seen:
        embeddings = ours.embed(items)
    expected = theirs.embed(items)
    assert embeddings.shape == expected.shape
    assert np.abs(embeddings - expected).max() < 1e-3 * np.abs(expected).max()
    assert ours.encoded_seconds == theirs.encoded_seconds > 12
    assert len(seen) == 1 and seen[0].audio_embeddings is embeddings
    with pytest.raises(InvalidAudioError):
        ours.embed([])


def test_encoder_is_that_of_the_reference(model: EurekaAudio) -> None:
    window = np.random.default_rng(3).standard_normal((80, 56)).astype(np.float32)
    expected = ReferenceEncoder(model.audio_encoder.speech_encoder).encode(window)
    assert np.allclose(CudaEncoder(model.audio_encoder.speech_encoder).encode(window), expected, atol=1e-5)
