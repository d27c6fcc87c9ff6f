"""Decoder and encoder on native kernels against the torch modules, on random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eureka.engine.backend import ManyStepsBackend, Prefill, StepChoice
from eureka.engine.native.audio_parts import NativeEncoder
from eureka.engine.native.backend import NativeBackend
from eureka.engine.native.weights import build_encoder
from eureka.engine.reference import ReferenceBackend
from eureka.model.eureka_audio import EurekaAudio, save_checkpoint
from eureka.model.load_plan import plan_load
from tests.helpers.native import needs_kernels, runnable_kernels
from tests.helpers.synthetic_checkpoint import TINY_CONFIG
from tests.helpers.synthetic_checkpoint import tiny_model as odd_model
from tests.helpers.tiny_model import tiny_model

pytestmark = needs_kernels

NEAR = {"exact": 1e-5, "fast": 0.02, "int8": 0.05}
V, W = 640, 64


def near(ours: np.ndarray, theirs: np.ndarray, bound: float = 1e-5) -> bool:
    return bool(np.abs(ours - theirs).max() <= bound * np.abs(theirs).max())


def prompt(slot: int, length: int, seed: int, start: int = 0) -> Prefill:
    rng = np.random.default_rng(seed)
    positions = np.arange(1, min(3, length))
    audio = rng.standard_normal((len(positions), W)).astype(np.float32)
    return Prefill(slot, rng.integers(0, V, length), positions, audio, start)


def cut(whole: Prefill, size: int) -> list[Prefill]:
    chunks = []
    for start in range(0, len(whole.prompt_ids), size):
        inside = (whole.audio_positions >= start) & (whole.audio_positions < start + size)
        places, audio = whole.audio_positions[inside] - start, whole.audio_embeddings[inside]
        chunks.append(Prefill(whole.slot, whole.prompt_ids[start : start + size], places, audio, start))
    return chunks


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "separate"])
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    shape = {
        "vocab_size": V,
        "hidden_size": W,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "tie_word_embeddings": request.param,
    }
    path: Path = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(tiny_model(backbone=shape), path)
    return path


def torch_model(folder: Path) -> EurekaAudio:
    from eureka.model.weights import load_checkpoint

    return load_checkpoint(folder)[0]


def both(folder: Path, numerics: str = "exact", kernels: str = "") -> tuple[NativeBackend, ReferenceBackend]:
    ours = NativeBackend(plan_load(folder), numerics, 12, 200, kernels)
    return ours, ReferenceBackend(torch_model(folder).backbone, 12, 200)


@pytest.mark.parametrize("kernels", runnable_kernels())
@pytest.mark.parametrize("numerics", ["exact", "fast", "int8"])
def test_prefill_and_decode_are_those_of_torch(folder: Path, numerics: str, kernels: str) -> None:
    ours, theirs = both(folder, numerics, kernels)
    prompts = [prompt(0, 5, 1), prompt(1, 77, 2), prompt(9, 1, 3)]
    assert near(ours.prefill(prompts), theirs.prefill(prompts), NEAR[numerics])
    rng = np.random.default_rng(4)
    for slots in ([0, 1, 9], [9, 1], [1], [9, 0, 1], [0]):
        ids = rng.integers(0, V, len(slots)).tolist()
        assert near(ours.decode(slots, ids), theirs.decode(slots, ids), NEAR[numerics]), slots


def test_widths_that_fill_no_tile(tmp_path: Path) -> None:
    """Heads of 16, a vocabulary and inner width that are no multiples of 64."""
    model = odd_model(config=replace(TINY_CONFIG, backbone=replace(TINY_CONFIG.backbone, head_dim=16)))
    save_checkpoint(model, tmp_path)
    ours, theirs = NativeBackend(plan_load(tmp_path), "exact", 2, 64), ReferenceBackend(model.backbone, 2, 64)
    whole = Prefill(0, np.arange(9), np.zeros(0, int), np.zeros((0, 48), np.float32))
    assert near(ours.prefill([whole]), theirs.prefill([whole]))
    assert near(ours.decode([0], [5]), theirs.decode([0], [5]))


@pytest.mark.parametrize("numerics", ["exact", "fast", "int8"])
def test_chunks_and_mates_change_no_bit(folder: Path, numerics: str) -> None:
    ours, _ = both(folder, numerics)
    whole = prompt(0, 70, 5)
    expected, following = ours.prefill([whole])[0], ours.decode([0], [7])[0]
    ours.prefill([prompt(11, 9, 6), prompt(10, 33, 7)])
    for slot, size in ((1, 1), (2, 8), (3, 69)):
        for chunk in cut(replace(whole, slot=slot), size):
            last = ours.prefill([chunk])[0]
        assert np.array_equal(last, expected)
        assert np.array_equal(ours.decode([11, slot, 10], [1, 7, 2])[1], following)


def test_saved_prefix_is_independent_of_its_slot(folder: Path) -> None:
    ours, _ = both(folder)
    whole = prompt(0, 70, 6)
    expected = ours.prefill([whole])[0]
    saved = ours.save_prefix(0, 37)
    assert saved.num_tokens == 37
    assert saved.num_bytes >= 37 * 2 * 2 * 2 * 64 * 4  # layers, keys and values, kv heads, head width
    ours.release(0)
    ours.prefill([prompt(0, 70, 7)])
    for slot in (3, 4):
        ours.load_prefix(slot, saved)
        rest = Prefill(slot, whole.prompt_ids[37:], np.zeros(0, int), np.zeros((0, W), np.float32), 37)
        assert np.array_equal(ours.prefill([rest])[0], expected)


def test_continuations_are_scored_as_by_torch(folder: Path) -> None:
    ours, theirs = both(folder)
    for backend in (ours, theirs):
        backend.prefill([prompt(2, 9, 8)])
    rng = np.random.default_rng(9)
    continuations = [rng.integers(0, V, size).tolist() for size in [1, 4, 2, 7] * 6]
    scores = ours.continuation_log_probabilities(2, continuations)
    expected = theirs.continuation_log_probabilities(2, continuations)
    assert [len(row) for row in scores] == [len(ids) - 1 for ids in continuations]
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(scores, expected, strict=True))
    assert near(ours.decode([2], [3]), theirs.decode([2], [3]))  # the slot is as before


def test_many_greedy_steps_are_single_ones(folder: Path) -> None:
    (ours, _), (single, _) = both(folder), both(folder)
    assert isinstance(ours, ManyStepsBackend)
    prompts = [prompt(0, 5, 1), prompt(4, 20, 2)]
    for backend in (ours, single):
        backend.prefill(prompts)
    expected: list[list[int]] = [[], []]
    ids = [3, 8]
    for _ in range(10):
        ids = single.decode([0, 4], ids).argmax(-1).tolist()
        for row, token_id in zip(expected, ids, strict=True):
            row.append(token_id)
    choices = [StepChoice(0.0, 0, (0.0,) * 10)] * 2
    assert ours.decode_steps([0, 4], [3, 8], choices, V) == expected
    end = expected[0][4]
    first = ours.decode_steps([0, 4], [3, 8], choices, end)[0]
    assert first == expected[0][: expected[0].index(end) + 1]
    ours.keep_steps(0, 2)  # the prompt, token 3 and the first that followed
    follower = ours.decode([0], [expected[0][1]])[0]
    assert int(follower.argmax()) == expected[0][2]


def test_drawn_steps_follow_temperature_and_top_k(folder: Path) -> None:
    ours, _ = both(folder)
    ours.prefill([prompt(0, 5, 1)])
    logits = ours.decode([0], [3])[0].astype(np.float64)
    ours.release(0)
    ours.prefill([prompt(0, 5, 1)])
    kept = np.argsort(logits)[-5:]
    weights = np.where(np.isin(np.arange(V), kept), np.exp((logits - logits.max()) / 0.7), 0)
    cumulative = np.cumsum(weights / weights.sum())
    for draw in (0.0, 0.2, 0.5, 0.8, 0.999):
        drawn = ours.decode_steps([0], [3], [StepChoice(0.7, 5, (draw,))], V)[0][0]
        assert drawn == int(np.searchsorted(cumulative, draw, side="right"))


def test_row_of_no_numbers_ends(folder: Path) -> None:
    ours, _ = both(folder)
    broken = prompt(0, 5, 1)
    broken = replace(broken, audio_embeddings=np.full_like(broken.audio_embeddings, np.nan))
    ours.prefill([broken, prompt(1, 5, 2)])
    answers = ours.decode_steps([0, 1], [3, 3], [StepChoice(0.0, 0, (0.0,) * 4)] * 2, V)
    assert [len(ids) for ids in answers] == [0, 4]


@pytest.mark.parametrize("kernels", runnable_kernels())
@pytest.mark.parametrize("num_frames", [2, 8, 56, 130])
@pytest.mark.parametrize(("numerics", "bound"), [("exact", 1e-5), ("fast", 0.05)])
def test_encoder_is_that_of_torch(
    tmp_path: Path, num_frames: int, numerics: str, bound: float, kernels: str
) -> None:
    shape = {
        "num_mel_bins": 20,
        "d_model": 64,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 128,
    }
    model = tiny_model(audio_encoder=shape)
    save_checkpoint(model, tmp_path)
    plan = plan_load(tmp_path)
    log_mel = np.random.default_rng(3).standard_normal((20, num_frames)).astype(np.float32)
    with torch.no_grad():
        expected = model.audio_encoder(torch.from_numpy(log_mel)[None])[0].numpy()
    ours = NativeEncoder(build_encoder(plan.config.audio_encoder, plan.read_encoder(), numerics, kernels))
    assert near(ours.encode(log_mel), expected, bound)


def test_window_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tiny_model(), tmp_path)
    plan = plan_load(tmp_path)
    encoder = NativeEncoder(build_encoder(plan.config.audio_encoder, plan.read_encoder(), "exact"))
    for shape in ((80, 3), (80, 0), (79, 4), (80, 4000)):
        with pytest.raises(ValueError, match="frames"):
            encoder.encode(np.zeros(shape, np.float32))
