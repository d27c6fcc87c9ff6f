"""Graphs on disk: written once, found by the checkpoint's content, never half there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from eureka.engine.onnx import graph_store
from eureka.engine.onnx.graph_builder import BLOCK, GRAPH_FILE, WEIGHTS_FILE, quantise_rows
from eureka.engine.onnx.graph_store import GraphStore
from eureka.model.eureka_audio import save_checkpoint
from eureka.model.load_plan import plan_load
from tests.helpers.synthetic_checkpoint import tiny_model


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_checkpoint(tiny_model(), tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_graph_is_written_once(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    GraphStore(plan_load(checkpoint), cache_folder=cache).open_adapter()
    (kept,) = names(cache)

    def refuse(*_: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(graph_store, "build_adapter", refuse)
    GraphStore(plan_load(checkpoint), cache_folder=cache).open_adapter()
    assert names(cache) == [kept]


def test_other_weights_and_numerics_get_graphs_of_their_own(checkpoint: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    GraphStore(plan_load(checkpoint), cache_folder=cache).open_decoder(64)
    GraphStore(plan_load(checkpoint), "fast", cache_folder=cache).open_decoder(64)
    save_checkpoint(tiny_model(seed=5), checkpoint)
    GraphStore(plan_load(checkpoint), cache_folder=cache).open_decoder(64)
    assert len(names(cache)) == 3


def test_failed_build_leaves_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(graph_store, "build_encoder", fail)
    with pytest.raises(RuntimeError):
        GraphStore(plan_load(checkpoint), cache_folder=tmp_path / "cache").open_encoder()
    assert names(tmp_path / "cache") == []


@pytest.mark.parametrize("file", [GRAPH_FILE, WEIGHTS_FILE])
@pytest.mark.parametrize("num_bytes", [None, 0, 100])
def test_broken_graph_is_written_anew(
    checkpoint: Path, tmp_path: Path, file: str, num_bytes: int | None
) -> None:
    cache, log_mel = tmp_path / "cache", np.ones((1, 16, 8), np.float32)
    opened = GraphStore(plan_load(checkpoint), cache_folder=cache).open_encoder()
    expected = opened.run(["frames"], {"log_mel": log_mel})[0]
    (kept,) = cache.iterdir()
    if num_bytes is None:
        (kept / file).unlink()
    else:
        os.truncate(kept / file, num_bytes)
    for _ in range(2):
        opened = GraphStore(plan_load(checkpoint), cache_folder=cache).open_encoder()
        assert np.array_equal(opened.run(["frames"], {"log_mel": log_mel})[0], expected)
    assert list(cache.iterdir()) == [kept] and (kept / file).stat().st_size > 100


def test_what_a_killed_process_left_is_removed_but_nothing_under_way(
    checkpoint: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    for name in ("partial-left", "partial-under-way"):
        (cache / name).mkdir(parents=True)
        (cache / name / WEIGHTS_FILE).write_bytes(b"half")
    os.utime(cache / "partial-left" / WEIGHTS_FILE, (0, 0))
    GraphStore(plan_load(checkpoint), cache_folder=cache).open_adapter()
    assert "partial-left" not in names(cache) and "partial-under-way" in names(cache)


def test_folder_that_cannot_be_written_does_not_stop_the_start(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    session = GraphStore(plan_load(checkpoint), cache_folder=tmp_path / "file").open_encoder()
    log_mel = np.zeros((1, 16, 8), np.float32)
    assert session.run(["frames"], {"log_mel": log_mel})[0].shape == (1, 4, 32)


def test_quantised_rows_are_near_and_symmetric() -> None:
    weight = np.random.default_rng(0).standard_normal((5, 128)).astype(np.float32)
    weight[2, :64] = 0  # a block without a scale
    packed, scales = quantise_rows(weight)
    assert packed.shape == (5, 128 // BLOCK, BLOCK)
    restored = (packed.astype(np.float32) - 128) * scales[..., None]
    assert np.abs(restored.reshape(5, 128) - weight).max() <= np.abs(weight).max() / 127
    assert not restored[2, 0].any()
