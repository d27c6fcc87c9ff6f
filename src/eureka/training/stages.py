"""What each stage name of a recipe runs."""

from __future__ import annotations

from collections.abc import Callable

from eureka.training.encoder_stage import EncoderTrainer
from eureka.training.loop import TrainingLoop
from eureka.training.nano import nano_config
from eureka.training.recipe import Recipe


def run_stage(recipe: Recipe) -> None:
    """Run one stage to its end."""
    _STAGES[recipe.stage](recipe)


def _encoder(recipe: Recipe) -> None:
    TrainingLoop(recipe, EncoderTrainer(recipe, nano_config().audio_encoder)).train()


_STAGES: dict[str, Callable[[Recipe], None]] = {"encoder": _encoder}
