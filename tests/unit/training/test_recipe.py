from __future__ import annotations

from pathlib import Path

import pytest

from eureka.errors import InvalidInputError
from eureka.training.recipe import STAGES, Recipe, read_recipe

LEAST = 'stage = "encoder"\nname = "first"\n'


def _read(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


def test_recipe_of_least_fields_has_defaults(tmp_path: Path) -> None:
    recipe = _read(tmp_path, LEAST)
    assert recipe == Recipe(stage="encoder", name="first")
    assert recipe.folder == Path("runs/nano/first")
    assert recipe.sibling("cache") == Path("runs/nano/cache")


def test_recipe_tables_become_their_configs(tmp_path: Path) -> None:
    recipe = _read(
        tmp_path,
        LEAST + "mix = { fsdd = 1, scenes = 0.5 }\n[schedule]\nsteps = 7\nminutes = 2\n"
        "[batch]\nbuckets = [80, 160]\n[align]\nat = [0.2, 1]\n[cache]\nclips = { fsdd = 3 }\n",
    )
    assert recipe.mix == {"fsdd": 1, "scenes": 0.5}
    assert recipe.schedule.steps == 7 and recipe.schedule.minutes == 2
    assert recipe.batch.buckets == (80, 160)
    assert recipe.align.at == (0.2, 1)
    assert recipe.cache.clips == {"fsdd": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LEAST + "sede = 3\n", "unknown names \\['sede'\\]"),
        (LEAST + "[schedule]\nstep = 3\n", "schedule.*unknown names \\['step'\\]"),
        ('stage = "encoder"\n', "name"),
        ('stage = "decode"\nname = "x"\n', "stage must be one of"),
        (LEAST + 'seed = "one"\n', "seed cannot be 'one'"),
        (LEAST + "seed = 1.5\n", "seed cannot be 1.5"),
        (LEAST + "average = true\n", "average cannot be True"),
        (LEAST + "schedule = 3\n", "schedule cannot be 3"),
        (LEAST + "mix = 0.5\n", "mix cannot be 0.5"),
        (LEAST + 'mix = { fsdd = "much" }\n', "fsdd|mix cannot be 'much'"),
        (LEAST + "[batch]\nbuckets = 80\n", "buckets cannot be 80"),
        (LEAST + '[batch]\nbuckets = ["80"]\n', "buckets cannot be '80'"),
        (LEAST + 'frozen = ["encoder"]\n', "frozen may name"),
        (LEAST + 'dtype = "float8"\n', "dtype must be one of"),
        ("stage = \n", "cannot read recipe"),
    ],
)
def test_recipe_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        _read(tmp_path, text)
    assert caught.value.reason == "INVALID_RECIPE"


def test_recipe_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot read recipe"):
        read_recipe(tmp_path / "none.toml")


def test_recipes_of_nano_read_and_follow_each_other(repo_root: Path) -> None:
    recipes = [read_recipe(path) for path in sorted((repo_root / "recipes" / "nano").glob("*.toml"))]
    stages = [recipe.stage for recipe in recipes]
    assert stages[0] == "data" and stages[-1] == "release" and set(stages) == set(STAGES)
    names = [recipe.name for recipe in recipes]
    assert len(set(names)) == len(names)
    for place, recipe in enumerate(recipes):
        assert not recipe.starts_from or recipe.starts_from in names[:place]
        assert recipe.stage in ("data", "release") or recipe.batch.rows >= max(recipe.batch.buckets)
        assert list(recipe.batch.buckets) == sorted(recipe.batch.buckets)
