"""Encoder and adapter apart equal both together, in either manner of cutting audio."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.choice import BackendChoice
from eureka.engine.reference_parts import reference_embedder
from eureka.errors import InvalidAudioError, InvalidInputError
from eureka.model.eureka_audio import save_checkpoint
from eureka.model.load_plan import plan_load
from eureka.model.weights import load_checkpoint
from eureka.serving.adapter import FrameAdapter
from eureka.serving.encoder import FrameEncoder, split_items
from eureka.types import Pcm
from tests.helpers.tiny_model import tiny_model

WINDOWINGS = {"per_item": 10.0, "reference": 30.0}


def noise(seconds: float, seed: int = 0) -> Pcm:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(round(16_000 * seconds))).astype(np.float32)


@pytest.fixture(scope="module", params=WINDOWINGS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    seconds = WINDOWINGS[request.param]
    save_checkpoint(tiny_model(windowing=request.param, best_window_seconds=seconds), folder)
    return folder


@pytest.fixture(scope="module", params=["onnx", "reference"])
def choice(request: pytest.FixtureRequest) -> BackendChoice:
    return BackendChoice(backend=request.param)


@pytest.fixture(scope="module")
def encoder(folder: Path, choice: BackendChoice) -> FrameEncoder:
    return FrameEncoder.from_checkpoint(folder, choice)


@pytest.fixture(scope="module")
def adapter(folder: Path, choice: BackendChoice) -> FrameAdapter:
    return FrameAdapter.from_checkpoint(folder, choice)


@pytest.mark.parametrize("seconds", [(0.01,), (1.37,), (0.5, 1.23, 0.08), (12.0, 3.0)])
def test_encode_then_adapt_equals_the_embedder_exactly(
    folder: Path,
    choice: BackendChoice,
    encoder: FrameEncoder,
    adapter: FrameAdapter,
    seconds: tuple[float, ...],
) -> None:
    items = [noise(length, seed) for seed, length in enumerate(seconds)]
    frames = encoder.encode(items)
    num_tokens = sum(-(-len(pcm) // 1280) for pcm in items)
    assert frames.shape == (4 * num_tokens, encoder.width)
    adapted = adapter.adapt(frames)
    np.testing.assert_array_equal(adapted, AudioEmbedder.open(plan_load(folder), choice).embed(items))
    reference = reference_embedder(load_checkpoint(folder)[0]).embed(items)
    np.testing.assert_allclose(adapted, reference, rtol=1e-4, atol=1e-4)


def test_encoder_counts_true_seconds_and_no_warm_up(encoder: FrameEncoder) -> None:
    before = encoder.encoded_seconds
    encoder.warm_up()
    encoder.encode([noise(0.5), noise(0.01)])
    assert encoder.encoded_seconds - before == pytest.approx(8 * 0.08)


def test_adapter_counts_each_expert_of_each_token(adapter: FrameAdapter, encoder: FrameEncoder) -> None:
    before = np.array(adapter.expert_tokens)
    adapter.adapt(encoder.encode([noise(1.6)]))
    adapter.warm_up()
    grown = np.array(adapter.expert_tokens) - before
    assert (len(grown), grown.sum()) == (4, 20 * 2)


def test_no_frames_are_a_trial(adapter: FrameAdapter) -> None:
    before = adapter.expert_tokens
    assert adapter.adapt(np.zeros((0, 0), dtype=np.float32)).shape == (0, adapter.width)
    assert adapter.expert_tokens == before


@pytest.mark.parametrize("shape", [(3, 64), (4, 63), (4,)])
def test_frames_that_do_not_fit_are_refused(adapter: FrameAdapter, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        adapter.adapt(np.zeros(shape, dtype=np.float32))
    assert caught.value.reason == "INVALID_TENSOR"


def test_frames_that_are_no_numbers_are_refused(adapter: FrameAdapter) -> None:
    with pytest.raises(InvalidInputError, match="NaN"):
        adapter.adapt(np.full((4, 64), np.nan, dtype=np.float32))


@pytest.mark.parametrize("items", [[], [noise(1.0), np.zeros(0, np.float32)]], ids=["none", "empty"])
def test_audio_without_samples_is_refused(encoder: FrameEncoder, items: list[Pcm]) -> None:
    with pytest.raises(InvalidAudioError) as caught:
        encoder.encode(items)
    assert caught.value.reason == "EMPTY_AUDIO"


def test_items_are_split_by_their_lengths() -> None:
    pcm = np.arange(6, dtype=np.float32)
    parts = split_items(pcm, np.array([2, 0, 4]))
    assert [part.tolist() for part in parts] == [[0, 1], [], [2, 3, 4, 5]]
    assert split_items(pcm[:0], np.array([], dtype=np.int64)) == []
    for wrong in ([2, 3], [7, -1]):
        with pytest.raises(InvalidInputError):
            split_items(pcm, np.array(wrong))
    with pytest.raises(InvalidInputError, match="NaN"):
        split_items(np.array([np.inf], dtype=np.float32), np.array([1]))


def test_processes_of_models_need_no_torch(folder: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "sys.modules['torch'] = None\n"
        "from eureka.engine.choice import BackendChoice\n"
        "from eureka.serving.adapter import FrameAdapter\n"
        "from eureka.serving.decoder import LlmDecoder\n"
        "from eureka.serving.encoder import FrameEncoder\n"
        "import eureka.serving.triton_model\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "FrameEncoder.from_checkpoint(folder, BackendChoice()).warm_up()\n"
        "FrameAdapter.from_checkpoint(folder, BackendChoice()).warm_up()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, timeout=60)


def test_loading_a_torch_part_leaves_the_compiler_out(folder: Path) -> None:
    """It would cost two seconds of each start of a model."""
    code = (
        "import sys, pathlib\n"
        "from eureka.engine.choice import BackendChoice\n"
        "from eureka.serving.encoder import FrameEncoder\n"
        "FrameEncoder.from_checkpoint(pathlib.Path(sys.argv[1]), BackendChoice(backend='reference'))\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, timeout=60)
