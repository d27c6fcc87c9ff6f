"""Runs recipes in their order; a finished stage is passed over, a broken one goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from eureka.training.recipe import Recipe, read_recipe
from eureka.training.stages import run_stage


def main(paths: Sequence[Path]) -> None:
    """Run the recipes at `paths`, each to its end.

    Raises:
        InvalidInputError: a recipe cannot be read; nothing was started then.
    """
    recipes = [read_recipe(Path(path)) for path in paths]
    for recipe in recipes:
        run(recipe)


def run(recipe: Recipe) -> None:
    """Run one stage unless it is finished."""
    if (recipe.folder / "finished.json").exists():
        print(f"{recipe.name}: finished before, in {recipe.folder}", flush=True)
        return
    torch.set_num_threads(recipe.num_threads)
    print(f"{recipe.name}: starting", flush=True)
    run_stage(recipe)
