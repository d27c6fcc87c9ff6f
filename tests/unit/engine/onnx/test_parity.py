"""Graphs against the torch modules they stand for, on random weights in every shape that a spec can take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.backend import Prefill
from eureka.engine.choice import BackendChoice
from eureka.engine.onnx.audio_parts import OnnxEncoder, OnnxRouter
from eureka.engine.onnx.backend import OnnxBackend
from eureka.engine.onnx.graph_builder import Numerics
from eureka.engine.onnx.graph_store import GraphStore
from eureka.engine.reference import ReferenceBackend
from eureka.engine.reference_parts import reference_embedder
from eureka.model.adapter_spec import AdapterSpec
from eureka.model.eureka_audio import EurekaAudio, save_checkpoint
from eureka.model.load_plan import plan_load
from tests.helpers.synthetic_checkpoint import TINY_CONFIG, TINY_SPEC, tiny_model

SPECS = {
    "plain": TINY_SPEC,
    "gated": replace(TINY_SPEC, is_gated=True, expert_up_bias=False, expert_down_bias=False),
    "shared": replace(TINY_SPEC, num_shared_experts=2, shared_hidden_size=12, input_norm="rms_norm"),
    "shared_late": replace(
        TINY_SPEC,
        num_shared_experts=1,
        shared_hidden_size=12,
        expert_output_size=48,
        shared_place="after_projection",
    ),
    "normed_experts": replace(
        TINY_SPEC,
        expert_input_norm="layer_norm",
        expert_hidden_norm="rms_norm",
        expert_output_norm="layer_norm",
        mixed_norm="rms_norm",
    ),
    "two_projections": replace(
        TINY_SPEC, projection_sizes=(64, 48), projection_norm="layer_norm", projection_activation="gelu"
    ),
    "softmax_first": replace(
        TINY_SPEC, routing_order="softmax_then_select", router_bias=True, correction_bias=True
    ),
    "not_renormalised": replace(TINY_SPEC, routing_order="softmax_then_select", renormalise=False),
    "relu": replace(TINY_SPEC, activation="relu", output_norm="none"),
}


def stored(model: EurekaAudio, folder: Path) -> EurekaAudio:
    save_checkpoint(model, folder)
    return model


def graphs(folder: Path, numerics: Numerics = "exact") -> GraphStore:
    return GraphStore(plan_load(folder), numerics)


def near(ours: np.ndarray, theirs: np.ndarray, bound: float = 1e-5) -> bool:
    return bool(np.abs(ours - theirs).max() <= bound * np.abs(theirs).max())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("count", [1, 7])
def test_adapter_is_that_of_torch(tmp_path: Path, spec: AdapterSpec, count: int) -> None:
    model = stored(tiny_model(spec=spec), tmp_path)
    tokens = np.random.default_rng(1).standard_normal((count, spec.input_size)).astype(np.float32)
    with torch.no_grad():
        expected = model.audio_moe_adaptor.route(torch.from_numpy(tokens))

    routed = OnnxRouter(graphs(tmp_path).open_adapter()).route(tokens)

    assert np.array_equal(routed.selected, expected.selected.numpy())
    assert near(routed.audio_embeddings, expected.audio_embeddings.numpy())
    assert near(routed.gates, expected.gates.numpy())


def test_expert_that_nobody_chose_changes_nothing(tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.audio_moe_adaptor.router.weight[0] = 0  # never among the best two of four with these tokens
        model.audio_moe_adaptor.router.weight[1:] = model.audio_moe_adaptor.router.weight[1:].abs()
    stored(model, tmp_path)
    tokens = np.abs(np.random.default_rng(2).standard_normal((5, 128))).astype(np.float32)

    routed = OnnxRouter(graphs(tmp_path).open_adapter()).route(tokens)

    assert 0 not in routed.selected
    with torch.no_grad():
        expected = model.audio_moe_adaptor(torch.from_numpy(tokens)).numpy()
    assert near(routed.audio_embeddings, expected)


@pytest.mark.parametrize("num_frames", [2, 8, 56, 128])
def test_encoder_is_that_of_torch(tmp_path: Path, num_frames: int) -> None:
    model = stored(tiny_model(), tmp_path)
    log_mel = np.random.default_rng(3).standard_normal((16, num_frames)).astype(np.float32)
    with torch.no_grad():
        expected = model.audio_encoder(torch.from_numpy(log_mel)[None])[0].numpy()

    frames = OnnxEncoder(graphs(tmp_path).open_encoder()).encode(log_mel)

    assert frames.shape == expected.shape
    assert near(frames, expected)


def test_embedder_is_that_of_torch(tmp_path: Path) -> None:
    model = stored(tiny_model(), tmp_path)
    items = [
        np.random.default_rng(n).normal(0, 0.1, size).astype(np.float32) for n, size in enumerate([9000, 1])
    ]
    ours = AudioEmbedder.open(plan_load(tmp_path), BackendChoice(backend="onnx"))
    theirs = reference_embedder(model)

    assert near(ours.embed(items), theirs.embed(items))
    assert ours.encoded_seconds == theirs.encoded_seconds > 0
    assert ours.width == theirs.width


# -- the language model ----------------------------------------------------------------------------


def prompt(slot: int, length: int, seed: int, start: int = 0) -> Prefill:
    rng = np.random.default_rng(seed)
    positions = np.arange(1, min(3, length))
    audio = rng.standard_normal((len(positions), 48)).astype(np.float32)
    return Prefill(slot, rng.integers(0, 96, length), positions, audio, start)


def cut(whole: Prefill, size: int) -> list[Prefill]:
    """The same prompt in chunks."""
    chunks = []
    for start in range(0, len(whole.prompt_ids), size):
        inside = (whole.audio_positions >= start) & (whole.audio_positions < start + size)
        chunks.append(
            Prefill(
                whole.slot,
                whole.prompt_ids[start : start + size],
                whole.audio_positions[inside] - start,
                whole.audio_embeddings[inside],
                start,
            )
        )
    return chunks


@pytest.fixture(params=[True, False], ids=["tied", "separate"])
def backends(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[OnnxBackend, ReferenceBackend]:
    backbone = replace(TINY_CONFIG.backbone, tie_word_embeddings=request.param)
    model = stored(tiny_model(config=replace(TINY_CONFIG, backbone=backbone)), tmp_path)
    return OnnxBackend(graphs(tmp_path), 12, 128), ReferenceBackend(model.backbone, 12, 128)


def test_prefill_and_decode_are_those_of_torch(backends) -> None:
    ours, theirs = backends
    prompts = [prompt(0, 5, 1), prompt(1, 17, 2), prompt(9, 1, 3)]  # a gap wide enough for two runs
    assert near(ours.prefill(prompts), theirs.prefill(prompts))
    rng = np.random.default_rng(4)
    for slots in ([0, 1, 9], [9, 1], [1], [9, 0, 1], [0]):
        ids = rng.integers(0, 96, len(slots)).tolist()
        assert near(ours.decode(slots, ids), theirs.decode(slots, ids)), slots


def test_chunks_equal_a_whole_prompt(backends) -> None:
    ours, _ = backends
    whole = prompt(0, 23, 5)
    expected = ours.prefill([whole])[0]
    for slot, size in ((1, 1), (2, 8), (3, 22)):
        for chunk in cut(replace(whole, slot=slot), size):
            last = ours.prefill([chunk])[0]
        assert near(last, expected)
        assert near(ours.decode([slot], [7])[0], theirs_of(ours, whole, 7))


def theirs_of(backend: OnnxBackend, whole: Prefill, token_id: int) -> np.ndarray:
    backend.release(11)
    backend.prefill([replace(whole, slot=11)])
    return backend.decode([11], [token_id])[0]


def test_half_prefilled_neighbour_is_left_as_it_is(backends) -> None:
    """A decode run goes along the rows between its own; what they hold must not change."""
    ours, _ = backends
    ours.prefill([prompt(0, 4, 1), prompt(2, 4, 2)])
    first, second = cut(prompt(1, 10, 3), 6)
    ours.prefill([first])
    for _ in range(3):
        ours.decode([0, 2], [5, 6])
    resumed = ours.prefill([second])[0]
    assert near(resumed, ours.prefill([prompt(5, 10, 3)])[0])


def test_saved_prefix_is_independent_of_its_slot(backends) -> None:
    ours, _ = backends
    whole = prompt(0, 12, 6)
    expected = ours.prefill([whole])[0]
    saved = ours.save_prefix(0, 9)
    assert saved.num_tokens == 9
    assert saved.num_bytes == 9 * 2 * 2 * 2 * 16 * 4  # layers, keys and values, kv heads, head width
    ours.release(0)
    ours.prefill([prompt(0, 12, 7)])
    for slot in (3, 4):
        ours.load_prefix(slot, saved)
        rest = Prefill(slot, whole.prompt_ids[9:], np.zeros(0, int), np.zeros((0, 48), np.float32), 9)
        assert near(ours.prefill([rest])[0], expected)


def test_continuations_are_scored_as_by_torch(backends) -> None:
    ours, theirs = backends
    for backend in backends:
        backend.prefill([prompt(2, 9, 8)])
    rng = np.random.default_rng(9)
    continuations = [rng.integers(0, 96, size).tolist() for size in [1, 4, 2, 7] * 6]
    scores = ours.continuation_log_probabilities(2, continuations)
    expected = theirs.continuation_log_probabilities(2, continuations)
    assert [len(row) for row in scores] == [len(ids) - 1 for ids in continuations]
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(scores, expected, strict=True))
    assert near(ours.decode([2], [3]), theirs.decode([2], [3]))  # the slot is as before


def test_padded_decode_does_not_depend_on_mates_to_the_last_bit(tmp_path: Path) -> None:
    stored(tiny_model(), tmp_path)
    alone, among = (OnnxBackend(graphs(tmp_path), 6, 64, is_padded=True) for _ in range(2))
    alone.prefill([prompt(3, 7, 1)])
    among.prefill([prompt(0, 4, 2), prompt(3, 7, 1), prompt(5, 20, 3)])
    for token_id in (4, 9, 30):
        expected = alone.decode([3], [token_id])[0]
        assert np.array_equal(among.decode([0, 3, 5], [1, token_id, 2])[1], expected)


def test_row_of_a_full_context_stays_inside_the_cache(backends) -> None:
    ours, theirs = backends
    for backend in backends:
        backend.prefill([prompt(0, 127, 1), prompt(1, 3, 2)])
        backend.decode([0], [1])  # slot 0 is full now
    assert near(ours.decode([1], [2]), theirs.decode([1], [2]))


def test_fast_numerics_are_near_the_exact_ones(tmp_path: Path) -> None:
    """Widths that are multiples of the block, or nothing would be int8."""
    config = replace(
        TINY_CONFIG,
        backbone=replace(TINY_CONFIG.backbone, hidden_size=128, intermediate_size=192, head_dim=32),
    )
    spec = replace(TINY_SPEC, output_size=128, projection_sizes=(128,))
    stored(tiny_model(spec=spec, config=config), tmp_path)
    fast, exact = (OnnxBackend(graphs(tmp_path, n), 4, 64) for n in ("fast", "exact"))
    ids = Prefill(0, np.arange(20), np.zeros(0, int), np.zeros((0, 128), np.float32))
    ours, theirs = fast.prefill([ids]), exact.prefill([ids])
    assert not np.array_equal(ours, theirs)
    assert near(ours, theirs, 0.05)


def test_fast_rows_do_not_depend_on_their_mates(tmp_path: Path) -> None:
    config = replace(TINY_CONFIG, backbone=replace(TINY_CONFIG.backbone, hidden_size=128, head_dim=32))
    spec = replace(TINY_SPEC, output_size=128, projection_sizes=(128,))
    stored(tiny_model(spec=spec, config=config), tmp_path)
    alone, among = (OnnxBackend(graphs(tmp_path, "fast"), 8, 64) for _ in range(2))
    ids = np.arange(9)
    loud = Prefill(1, ids + 50, np.arange(9), np.full((9, 128), 100, np.float32))
    own = Prefill(0, ids, np.zeros(0, int), np.zeros((0, 128), np.float32))
    alone.prefill([own])
    among.prefill([own, loud])
    assert near(among.decode([0, 1], [3, 4])[0], alone.decode([0], [3])[0])
