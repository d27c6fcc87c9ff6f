"""The text side of a checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from eureka.errors import InvalidCheckpointError, NotFoundError
from eureka.serving.decoder import DecoderOptions
from services.decoder.checkpoint import ENGINE_CONTEXT_TOKENS, read_checkpoint, weights_sha256
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint


def test_card_tells_the_checkpoint_and_its_weights(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path)

    card = read_checkpoint(folder).card

    assert (card.name, card.best_window_seconds, card.time_step_seconds) == ("tiny", 10.0, 0.2)
    weights = (folder / "model.safetensors").read_bytes()
    assert card.weights_sha256 == hashlib.sha256(weights).hexdigest()


def test_hash_of_shards_is_that_of_all_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.safetensors").write_bytes(b"two")
    (tmp_path / "a.safetensors").write_bytes(b"one")

    assert weights_sha256(tmp_path) == hashlib.sha256(b"onetwo").hexdigest()


def test_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_checkpoint(tmp_path / "none")
    with pytest.raises(InvalidCheckpointError):
        weights_sha256(tmp_path)


def test_context_is_that_of_the_model_behind_triton() -> None:
    assert DecoderOptions().context_tokens == ENGINE_CONTEXT_TOKENS
