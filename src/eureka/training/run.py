"""Runs recipes in their order; a finished stage is passed over, a broken one goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from eureka.training.recipe import Recipe, read_recipe
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


def run(recipe: Recipe, recordings: Path) -> None:
    """Run one stage unless it is finished."""
    if (recipe.folder / "finished.json").exists():
        print(f"{recipe.name}: finished before, in {recipe.folder}", flush=True)
        return
    torch.set_num_threads(recipe.num_threads)
    print(f"{recipe.name}: starting", flush=True)
    run_stage(recipe, recordings)
