"""All stages after the data, on tones, with a tiny model: from feature packs to a checkpoint."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from eureka.errors import InvalidInputError
from eureka.model.config import EurekaConfig
from eureka.model.weights import load_checkpoint
from eureka.text.tokenizer import Tokenizer
from eureka.training.alignment import SILENCE
from eureka.training.decoder_stage import DecoderTrainer
from eureka.training.encoder_cache import EncoderCache
from eureka.training.feature_pack import FeaturePack
from eureka.training.joint_stage import JointTrainer
from eureka.training.recipe import AlignConfig, BatchConfig, CacheConfig, DataConfig, Recipe
from eureka.training.release_stage import run_release_stage
from eureka.training.run import run
from eureka.training.samples import read_alignment
from eureka.training.schedule import ScheduleConfig
from tests.helpers.tiny_model import TINY_CONFIG
from tests.helpers.training_packs import WORDS, write_training_folder

CONFIG = EurekaConfig.from_dict(TINY_CONFIG)
KINDS = ("synthetic_speech", "speechocean762", "fsdd", "coffee_orders", "sounds", "scenes", "quiet")
MEL_BUCKETS = BatchConfig(buckets=(80, 160, 320), rows=960)
POSITIONS = BatchConfig(buckets=(40, 64, 96), rows=384)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """Folders of a run whose stages all ended."""

    recipes: dict[str, Recipe]
    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"


def _recipes(folder: Path) -> dict[str, Recipe]:
    common = Recipe(
        stage="encoder",
        name="encoder",
        run_folder=str(folder / "run"),
        release_folder=str(folder / "checkpoint"),
        dtype="float32",
        num_threads=1,
        data=DataConfig(folder=str(folder / "data"), num_workers=0),
        schedule=ScheduleConfig(steps=4, warmup_steps=1),
        batch=MEL_BUCKETS,
        mix=dict.fromkeys(KINDS, 1.0),
    )
    encoder = replace(
        common,
        mix={"synthetic_speech": 1.0, "sounds": 0.3},
        mix_aligned={"synthetic_speech": 1.0, "speechocean762": 1.0, "fsdd": 0.5, "scenes": 0.5},
        align=AlignConfig(at=(0.5,)),
    )
    cache = replace(common, stage="cache", name="cache", starts_from="encoder")
    cache = replace(cache, cache=CacheConfig(clips={kind: 5 for kind in KINDS}))
    decoder = replace(common, stage="decoder", name="decoder", starts_from="encoder", batch=POSITIONS)
    joint = replace(common, stage="joint", name="joint", starts_from="decoder", average=0.9)
    joint = replace(joint, frozen=("audio_moe_adaptor",))
    release = replace(common, stage="release", name="release", starts_from="joint", dtype="bfloat16")
    return {recipe.name: recipe for recipe in (encoder, cache, decoder, joint, release)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    folder = tmp_path_factory.mktemp("run")
    write_training_folder(folder / "data")
    recipes = _recipes(folder)
    for recipe in recipes.values():
        run(recipe, folder / "no recordings", CONFIG)
    return FinishedRun(recipes, folder)


def test_stages_end_in_a_checkpoint_that_loads(finished: FinishedRun) -> None:
    model, report = load_checkpoint(finished.checkpoint)
    assert model.config.to_dict()["backbone"] == CONFIG.to_dict()["backbone"]
    assert report is not None
    assert Tokenizer.from_folder(finished.checkpoint).vocab_size == 600
    assert torch.isfinite(model.embed_audio([torch.zeros(80, 80)])).all()


def test_release_holds_the_averaged_weights_without_the_heads(finished: FinishedRun) -> None:
    released = load_file(finished.checkpoint / "model.safetensors")
    trained = load_file(finished.recipes["joint"].folder / "weights.safetensors")
    assert {name for name in trained if not name.startswith("heads.")} == set(released)
    for name, tensor in released.items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, trained[name].bfloat16()), name
    averages = load_file(finished.recipes["joint"].folder / "average-4.safetensors")
    assert all(torch.equal(trained[name], averages[name]) for name in averages if name != "count")


def test_stages_train_what_they_should_and_nothing_else(finished: FinishedRun) -> None:
    encoder, decoder, joint = (
        load_file(finished.recipes[name].folder / "weights.safetensors")
        for name in ("encoder", "decoder", "joint")
    )
    positions = "audio_encoder.speech_encoder.embed_positions.weight"
    for name, tensor in encoder.items():  # the decoder stage leaves encoder and heads alone
        assert torch.equal(decoder[name], tensor), name
        assert torch.equal(joint[name], tensor) == (name == positions), name
    for name, tensor in decoder.items():
        if not name.startswith(("audio_encoder.", "heads.")):
            assert torch.equal(joint[name], tensor) == name.startswith("audio_moe_adaptor."), name


def test_alignment_says_the_words_of_each_clip_in_order(finished: FinishedRun) -> None:
    texts = {clip.id: clip for clip in FeaturePack(finished.folder / "data" / "train").clips}
    aligned = read_alignment(finished.recipes["cache"].alignment(1))
    assert len(aligned) >= 12  # of 16 with transcripts; the worst are dropped
    for clip_id, rows in aligned.items():
        clip = texts[clip_id]
        assert clip.text is not None
        wanted = [phone for word in clip.text.split() for phone in WORDS[word]]
        assert [phone for phone in rows[:, 0] if phone != SILENCE] == wanted
        assert rows[0, 1] == 0 and rows[-1, 2] == clip.num_frames
    assert finished.recipes["encoder"].alignment(1).exists()  # and one half way through the encoder


def test_cache_holds_what_the_recipe_asks_for(finished: FinishedRun) -> None:
    cache = EncoderCache(finished.recipes["cache"].folder)
    assert {kind: len(numbers) for kind, numbers in cache.kinds.items()} == dict.fromkeys(KINDS, 5)
    assert cache.frames.dtype == np.float16 and cache.frames.shape[1] == 64
    for number in range(len(cache)):
        outputs = cache.outputs(number)
        assert len(outputs) % 4 == 0 and np.isfinite(outputs).all() and outputs.any()


def test_cache_pieces_lie_inside_their_clips(finished: FinishedRun) -> None:
    cache = EncoderCache(finished.recipes["cache"].folder)
    pieces = cache.pieces()
    assert len(pieces) > 50
    assert (pieces.start < pieces.end).all() and pieces.end.max() <= cache.num_frames.sum()
    assert set(pieces.phone.tolist()) <= {SILENCE, *(phone for word in WORDS.values() for phone in word)}


def test_stages_finished_are_passed_over(finished: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished.checkpoint / "model.safetensors").stat().st_mtime_ns
    for recipe in finished.recipes.values():
        run(recipe, finished.folder / "no recordings", CONFIG)
    assert capsys.readouterr().out.count("finished before") == 5
    assert (finished.checkpoint / "model.safetensors").stat().st_mtime_ns == before


def test_stages_batches_can_be_built_in_another_process(finished: FinishedRun) -> None:
    data = finished.folder / "data"
    decoder, joint, cache = (finished.recipes[name] for name in ("decoder", "joint", "cache"))
    for trainer in (
        DecoderTrainer(decoder, CONFIG, cache.folder, data / "tokenizer"),
        JointTrainer(joint, CONFIG, data / "tokenizer"),
    ):
        build = trainer.batches()
        copied = pickle.loads(pickle.dumps(build))  # as a spawned worker gets it
        np.testing.assert_array_equal(copied().make(2).input_ids, build().make(2).input_ids)


def test_stages_leave_their_summary(finished: FinishedRun) -> None:
    for name in ("encoder", "decoder", "joint"):
        summary = json.loads((finished.recipes[name].folder / "finished.json").read_text())
        assert summary["steps"] == 4


def test_release_of_a_stage_that_trained_a_part_is_refused(finished: FinishedRun) -> None:
    recipe = replace(
        finished.recipes["release"],
        starts_from="encoder",
        release_folder=str(finished.folder / "half"),
    )
    with pytest.raises(InvalidInputError, match="release a later stage"):
        run_release_stage(recipe, CONFIG, finished.folder / "data" / "tokenizer")
    assert not (finished.folder / "half").exists()


def test_cache_of_an_unknown_kind_is_refused(finished: FinishedRun) -> None:
    recipe = replace(finished.recipes["cache"], name="other", cache=CacheConfig(clips={"birds": 3}))
    with pytest.raises(InvalidInputError, match="birds"):
        run(recipe, finished.folder / "no recordings", CONFIG)
