"""A random bfloat16 checkpoint in the shape of the 1.7B release: loads, inspects, answers one token on CPU.

Needs about 6 GB of disk; weights stay memory-mapped, so memory is mostly page cache.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from eureka.engine.backend import Prefill
from eureka.engine.choice import BackendChoice, open_backend
from eureka.model.inspect import inspect_checkpoint
from eureka.model.load_plan import plan_load
from eureka.model.weights import load_checkpoint
from tests.helpers.synthetic_checkpoint import write_released_shape

pytestmark = pytest.mark.large

AUDIO_START, AUDIO_END, AUDIO_PAD, IM_START, IM_END, LINE_FEED = 151669, 151670, 151675, 151644, 151645, 198
NUM_AUDIO_TOKENS = 13
"""One second and a bit: 13 tokens of 80 ms."""


@pytest.fixture(scope="module")
def released_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = write_released_shape(tmp_path_factory.mktemp("released"))
    yield folder
    shutil.rmtree(folder)


def test_released_shape_inspects(released_folder):
    report = inspect_checkpoint(released_folder)
    # 853 tensors less the two of the release's adapter that are not known, and 17 leftovers.
    assert report.num_tensors == 487 + 311 + 53 + 17
    assert report.parameters == {
        "audio_encoder": 636_968_960,
        "audio_moe_adaptor": 84_004_864,
        "backbone": 1_720_574_976 + 311_164_928,
    }
    assert report.head == "separate"
    assert report.dtypes == {"bfloat16": report.num_tensors}
    assert len(report.skipped) == 17
    assert report.unsettled == ("top_k", "routing_order", "activation", "layer_norm_eps")


def test_released_shape_answers_one_token(released_folder):
    model, _ = load_checkpoint(released_folder, torch.bfloat16)
    log_mel = torch.full((128, 3000), -1.5, dtype=torch.bfloat16)
    log_mel[:, : 8 * NUM_AUDIO_TOKENS] = torch.rand(128, 8 * NUM_AUDIO_TOKENS)
    pads = [AUDIO_PAD] * NUM_AUDIO_TOKENS
    ids = torch.tensor([IM_START, 872, LINE_FEED, AUDIO_START, *pads, AUDIO_END, IM_END, LINE_FEED])
    with torch.inference_mode():
        audio = model.embed_audio([log_mel], [NUM_AUDIO_TOKENS])
        prompt = model.embed_prompt(ids, ids == AUDIO_PAD, audio)
        logits = model.backbone.logits(model.backbone(prompt[None])[0, -1])
    assert audio.shape == (NUM_AUDIO_TOKENS, 2048)
    assert logits.shape == (151_936,)
    assert logits.isfinite().all()
    assert 0 <= int(logits.argmax()) < 151_936


def test_released_shape_answers_on_native_kernels_as_on_torch(released_folder):
    """Weights as bfloat16, packed: half of what graphs in float32 would take."""
    plan = plan_load(released_folder)
    choice = BackendChoice("native", "fast")
    if choice.resolve(plan.config) != "native":
        pytest.skip("the native kernels are not built")
    backend = open_backend(plan, choice, 1, 64)
    ids = np.array([IM_START, 872, LINE_FEED, IM_END, LINE_FEED])
    empty = np.zeros((0, backend.embedding_width), np.float32)
    logits = backend.prefill([Prefill(0, ids, np.zeros(0, np.int64), empty)])[0]
    model, _ = load_checkpoint(released_folder, torch.bfloat16)
    with torch.inference_mode():
        hidden = model.backbone(model.backbone.model.embed_tokens(torch.from_numpy(ids))[None])[0, -1]
        expected = model.backbone.logits(hidden).float().numpy()
    assert np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()
