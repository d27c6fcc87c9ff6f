"""What each stage name of a recipe runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eureka.model.config import EurekaConfig
from eureka.training.cache_stage import run_cache_stage
from eureka.training.data_stage import run_data_stage, tokenizer_folder
from eureka.training.decoder_stage import DecoderTrainer
from eureka.training.encoder_stage import EncoderTrainer
from eureka.training.joint_stage import JointTrainer
from eureka.training.loop import TrainingLoop
from eureka.training.nano import nano_config
from eureka.training.process_group import ProcessGroup
from eureka.training.recipe import Recipe
from eureka.training.release_stage import run_release_stage


@dataclass(frozen=True, slots=True)
class StageOrder:
    """What a stage works with.

    Attributes:
        recipe: the stage.
        config: shape and prompts of the model.
        recordings: audio pack that the data stage reads.
        group: processes that train together.
    """

    recipe: Recipe
    config: EurekaConfig
    recordings: Path
    group: ProcessGroup


def run_stage(
    recipe: Recipe,
    recordings: Path,
    config: EurekaConfig | None = None,
    group: ProcessGroup | None = None,
) -> None:
    """Run one stage to its end.

    Args:
        recipe: the stage.
        recordings: audio pack that the data stage reads.
        config: shape and prompts of the model; the nano's when None.
        group: processes that train together; those of torchrun when None.
    """
    order = StageOrder(recipe, config or nano_config(), recordings, group or ProcessGroup.join())
    _STAGES[recipe.stage](order)


def _data(order: StageOrder) -> None:
    order.group.first_does(lambda: run_data_stage(order.recipe, order.recordings))


def _encoder(order: StageOrder) -> None:
    trainer = EncoderTrainer(order.recipe, order.config.audio_encoder, order.group)
    TrainingLoop(order.recipe, trainer, order.group).train()


def _cache(order: StageOrder) -> None:
    order.group.first_does(lambda: run_cache_stage(order.recipe, order.config.audio_encoder))


def _decoder(order: StageOrder) -> None:
    recipe = order.recipe
    cache = recipe.sibling(recipe.reads_cache)
    trainer = DecoderTrainer(recipe, order.config, cache, tokenizer_folder(recipe))
    TrainingLoop(recipe, trainer, order.group).train()


def _joint(order: StageOrder) -> None:
    trainer = JointTrainer(order.recipe, order.config, tokenizer_folder(order.recipe))
    TrainingLoop(order.recipe, trainer, order.group).train()


def _release(order: StageOrder) -> None:
    tokenizer = tokenizer_folder(order.recipe)
    order.group.first_does(lambda: run_release_stage(order.recipe, order.config, tokenizer))


_STAGES: dict[str, Callable[[StageOrder], None]] = {
    "data": _data,
    "encoder": _encoder,
    "cache": _cache,
    "decoder": _decoder,
    "joint": _joint,
    "release": _release,
}
