"""Runs recipes in their order; a finished stage is passed over, a broken one goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from eureka.model.config import EurekaConfig
from eureka.training.process_group import ProcessGroup
from eureka.training.recipe import Recipe, read_recipe
from eureka.training.run_state import RunFolder
from eureka.training.stages import run_stage

DEFAULT_RECORDINGS = Path("../shared/data")


def main(paths: Sequence[Path | str], recordings: Path = DEFAULT_RECORDINGS) -> None:
    """Run the recipes at `paths`, each to its end.

    Args:
        paths: TOML files, in the order of the stages.
        recordings: audio pack that the data stage reads.

    Raises:
        InvalidInputError: a recipe cannot be read; nothing was started then.
    """
    recipes = [read_recipe(Path(path)) for path in paths]
    for recipe in recipes:
        run(recipe, recordings)


def run(recipe: Recipe, recordings: Path, config: EurekaConfig | None = None) -> None:
    """Run one stage unless it is finished; the model is the nano when `config` is None."""
    group = ProcessGroup.join()
    # One process decides for all: it may finish the stage before another one looks.
    if group.value_of_first(float(RunFolder(recipe.folder).is_finished)):
        _say(group, f"{recipe.name}: finished before, in {recipe.folder}")
        return
    torch.set_num_threads(recipe.num_threads)
    _say(group, f"{recipe.name}: starting")
    run_stage(recipe, recordings, config, group)


def _say(group: ProcessGroup, line: str) -> None:
    if group.is_first:
        print(line, flush=True)
