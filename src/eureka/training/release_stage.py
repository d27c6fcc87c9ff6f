"""The last stage: the trained weights become a checkpoint folder that the platform loads."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from eureka.errors import InvalidInputError
from eureka.model.config import EurekaConfig
from eureka.model.eureka_audio import EurekaAudio, save_checkpoint
from eureka.training.decoder_stage import TrainedModel
from eureka.training.loop import take_up_weights
from eureka.training.recipe import Recipe
from eureka.training.run_state import RunFolder

TOKENIZER_FILE = "tokenizer.json"


def run_release_stage(recipe: Recipe, config: EurekaConfig, tokenizer: Path) -> None:
    """Write `recipe.release_folder`: config, bf16 or fp32 weights as `recipe.dtype` says, tokenizer."""
    folder = Path(recipe.release_folder)
    write_checkpoint(
        recipe.sibling(recipe.starts_from), config, tokenizer, folder, getattr(torch, recipe.dtype)
    )
    RunFolder(recipe.folder).finish({"folder": str(folder)})


def write_checkpoint(
    stage_folder: Path, config: EurekaConfig, tokenizer: Path, folder: Path, dtype: torch.dtype
) -> None:
    """Write the weights that a stage left, without the training heads, as a checkpoint.

    Raises:
        InvalidInputError: the stage trained only a part of the model.
    """
    trained = TrainedModel(config)
    fresh = [name for name in take_up_weights(trained, stage_folder) if not name.startswith("heads.")]
    if fresh:
        message = f"{stage_folder} has not trained {fresh[:3]}: release a later stage"
        raise InvalidInputError(message, reason="WEIGHTS_MISMATCH")
    model = EurekaAudio(config)
    state = {n: t for n, t in trained.state_dict().items() if not n.startswith("heads.")}
    model.load_state_dict(state)
    save_checkpoint(model, folder, dtype)
    shutil.copyfile(tokenizer / TOKENIZER_FILE, folder / TOKENIZER_FILE)
