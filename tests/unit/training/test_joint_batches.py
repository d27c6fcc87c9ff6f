from __future__ import annotations

import numpy as np
import pytest

from eureka.training.joint_batches import JointBatchMaker
from eureka.training.losses import IGNORED
from eureka.training.recipe import BatchConfig, DataConfig, Recipe
from tests.helpers.training_packs import write_training_folder

MIX = {"synthetic_speech": 1.0, "fsdd": 1.0, "coffee_orders": 1.0, "sounds": 1.0, "scenes": 1.0, "quiet": 0.5}


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> JointBatchMaker:
    folder = write_training_folder(tmp_path_factory.mktemp("packs"), clips_of_a_kind=4)
    batch = BatchConfig(buckets=(80, 160, 320), rows=960)
    data = DataConfig(str(folder))
    recipe = Recipe("joint", "third", run_folder=str(folder / "run"), mix=MIX, batch=batch, data=data)
    (folder / "run" / "cache").mkdir(parents=True)
    (folder / "run" / "cache" / "alignment-1.jsonl").touch()
    return JointBatchMaker(recipe, folder / "tokenizer")


def test_joint_batch_has_an_audio_place_for_every_true_audio_token(maker: JointBatchMaker) -> None:
    for number in range(10):
        batch = maker.make(number)
        np.testing.assert_array_equal(batch.is_audio.sum(axis=1), batch.token_mask.sum(axis=1))
        np.testing.assert_array_equal(batch.token_mask.sum(axis=1), batch.audio.num_frames // 8)
        for row, count in enumerate(batch.audio.num_frames // 8):
            assert batch.token_mask[row, :count].all()


def test_joint_batch_has_fixed_shapes_and_an_answer_in_every_row(maker: JointBatchMaker) -> None:
    for number in range(10):
        batch = maker.make(number)
        rows, _, frames = batch.audio.log_mel.shape
        assert (rows, frames) in {(12, 80), (6, 160), (3, 320)}
        assert batch.input_ids.shape == batch.targets.shape == batch.is_audio.shape
        assert batch.input_ids.shape[0] == rows and batch.input_ids.shape[1] % 32 == 0
        assert ((batch.targets != IGNORED).sum(axis=1) >= 1).all()
        assert not (batch.is_audio & (batch.targets != IGNORED))[:, 1:].any()


def test_joint_batch_of_a_number_is_always_the_same(maker: JointBatchMaker) -> None:
    first, again = (maker.make(3) for _ in range(2))
    np.testing.assert_array_equal(first.input_ids, again.input_ids)
    np.testing.assert_array_equal(first.audio.log_mel, again.audio.log_mel)
