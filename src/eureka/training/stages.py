"""What each stage name of a recipe runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eureka.training.cache_stage import run_cache_stage
from eureka.training.data_stage import run_data_stage, tokenizer_folder
from eureka.training.decoder_stage import DecoderTrainer
from eureka.training.encoder_stage import EncoderTrainer
from eureka.training.joint_stage import JointTrainer
from eureka.training.loop import TrainingLoop
from eureka.training.nano import nano_config
from eureka.training.recipe import Recipe
from eureka.training.release_stage import run_release_stage


def run_stage(recipe: Recipe, recordings: Path) -> None:
    """Run one stage to its end; `recordings` is the audio pack that the data stage reads."""
    _STAGES[recipe.stage](recipe, recordings)


def _encoder(recipe: Recipe, recordings: Path) -> None:
    TrainingLoop(recipe, EncoderTrainer(recipe, nano_config().audio_encoder)).train()


def _cache(recipe: Recipe, recordings: Path) -> None:
    run_cache_stage(recipe, nano_config().audio_encoder)


def _decoder(recipe: Recipe, recordings: Path) -> None:
    cache = recipe.sibling(recipe.reads_cache)
    TrainingLoop(recipe, DecoderTrainer(recipe, nano_config(), cache, tokenizer_folder(recipe))).train()


def _joint(recipe: Recipe, recordings: Path) -> None:
    TrainingLoop(recipe, JointTrainer(recipe, nano_config(), tokenizer_folder(recipe))).train()


def _release(recipe: Recipe, recordings: Path) -> None:
    run_release_stage(recipe, nano_config(), tokenizer_folder(recipe))


_STAGES: dict[str, Callable[[Recipe, Path], None]] = {
    "data": run_data_stage,
    "encoder": _encoder,
    "cache": _cache,
    "decoder": _decoder,
    "joint": _joint,
    "release": _release,
}
