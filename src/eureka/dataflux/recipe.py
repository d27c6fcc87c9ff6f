"""Recipes of DataFlux: one TOML file a run, read strictly into frozen dataclasses."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from eureka.errors import InvalidInputError
from eureka.training.recipe import build_table

IMPLEMENTATIONS = ("grounded", "gateway", "openai")


@dataclass(frozen=True, slots=True)
class ClipConfig:
    """Which train clips a run takes: subset -> number, the first of a drawn order; 0 takes all."""

    subsets: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SceneConfig:
    """How scenes are composed of train clips.

    Attributes:
        count: scenes.
        num_sounds: probability of 1, 2, 3, ... sounds.
        speech_probability: how often somebody speaks as well.
        background_probability: how often a lasting sound lies under the rest.
        seconds: shortest and longest scene.
        sounds: subsets with labels.
        speech: subsets with words or orders.
    """

    count: int = 0
    num_sounds: tuple[float, ...] = (0.1, 0.5, 0.4)
    speech_probability: float = 0.45
    background_probability: float = 0.3
    seconds: tuple[float, ...] = (4.0, 10.0)
    sounds: tuple[str, ...] = ("esc10", "ambience", "music_cc0", "music_cc")
    speech: tuple[str, ...] = ("speechocean762", "coffee_orders", "fsdd", "wake_words")


@dataclass(frozen=True, slots=True)
class RoleConfig:
    """One role.

    Attributes:
        by: grounded, gateway or openai.
        answers: how an answerer of `gateway` chooses: `score` (closed set) or `text` (generated, matched).
        shows_options: whether its question lists the options; models that were not trained on lists do
            better without.
        model: of an OpenAI-compatible endpoint; empty takes that of the settings.
        temperature: of an OpenAI-compatible endpoint.
        max_tokens: longest answer of one call.
    """

    by: str = "grounded"
    answers: str = "score"
    shows_options: bool = False
    model: str = ""
    temperature: float = 0.0
    max_tokens: int = 1_024


@dataclass(frozen=True, slots=True)
class RolesConfig:
    """Who does what; `blind` hears nothing, `by = ""` leaves it out."""

    captioner: RoleConfig = field(default_factory=RoleConfig)
    writer: RoleConfig = field(default_factory=RoleConfig)
    answerer_a: RoleConfig = field(default_factory=lambda: RoleConfig("gateway"))
    answerer_b: RoleConfig = field(default_factory=lambda: RoleConfig("gateway", "text"))
    judge: RoleConfig = field(default_factory=RoleConfig)
    blind: RoleConfig = field(default_factory=lambda: RoleConfig("gateway"))


@dataclass(frozen=True, slots=True)
class QuestionConfig:
    """What is asked.

    Attributes:
        per_item: questions of one item at most.
        skills: those of the taxonomy that are asked; all when empty.
        confusion: JSON file of an evaluation (see `dataflux.weakness`); weak categories come first.
        sharpness: 0 asks all alike; the larger, the more the weak ones are preferred.
    """

    per_item: int = 5
    skills: tuple[str, ...] = ()
    confusion: str = ""
    sharpness: float = 2.0


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """What is taken out of the accepted questions.

    Attributes:
        blind: questions that are answered without the audio more often than chance.
        near_duplicate: similarity from 0 to 100 above which questions on the same clips are one; 0 is off.
        leaks: folders with manifest.jsonl whose clips of other splits, and files of questions (JSON lines),
            must not come in; the data folder itself is always looked at.
        max_questions: of the whole set; 0 is no limit.
        max_share: largest share of one category; 1 is no limit.
    """

    blind: bool = True
    near_duplicate: float = 92.0
    leaks: tuple[str, ...] = ()
    max_questions: int = 0
    max_share: float = 1.0


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """What a run may cost over all its restarts; 0 is no limit. Prices are US dollars a million tokens."""

    tokens: int = 0
    usd: float = 0.0
    usd_per_million_prompt: float = 0.0
    usd_per_million_generated: float = 0.0


@dataclass(frozen=True, slots=True)
class FluxRecipe:
    """One run of DataFlux.

    Attributes:
        name: folder of the run below `folder`, and name of the data set.
        folder: where records and exports lie; `store:` takes the object store of the settings.
        seed: decides scenes, questions, distractors and order.
        num_processes: how many work at it on this machine.
        num_threads: items at a time in each of them; more than 1 where only endpoints answer.
    """

    name: str
    folder: str = "runs/dataflux"
    seed: int = 1
    num_processes: int = 2
    num_threads: int = 1
    clips: ClipConfig = field(default_factory=ClipConfig)
    scenes: SceneConfig = field(default_factory=SceneConfig)
    roles: RolesConfig = field(default_factory=RolesConfig)
    questions: QuestionConfig = field(default_factory=QuestionConfig)
    checks: CheckConfig = field(default_factory=CheckConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)


def read_flux_recipe(path: Path) -> FluxRecipe:
    """Read one TOML file.

    Raises:
        InvalidInputError: reason INVALID_RECIPE; it cannot be read, or a name or a value is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"cannot read recipe {path}: {error}", reason="INVALID_RECIPE") from error
    return parse_flux_recipe(text, str(path))


def parse_flux_recipe(text: str, where: str) -> FluxRecipe:
    """The recipe of a TOML text; `where` names it in errors, which are those of `read_flux_recipe`."""
    try:
        plain = tomllib.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"{where} is not TOML: {error}", reason="INVALID_RECIPE") from error
    recipe = build_table(FluxRecipe, plain, where)
    problem = _problem(recipe)
    if problem:
        raise InvalidInputError(f"{where}: {problem}", reason="INVALID_RECIPE")
    return recipe


def _problem(recipe: FluxRecipe) -> str:
    """What is wrong with the values; empty where nothing is."""
    roles = recipe.roles
    for role in (roles.captioner, roles.writer, roles.answerer_a, roles.answerer_b, roles.judge):
        if role.by not in IMPLEMENTATIONS:
            return f"a role is by one of {IMPLEMENTATIONS}, not {role.by!r}"
    if "grounded" in (roles.answerer_a.by, roles.answerer_b.by):
        return "answerers hear: they are by gateway or openai"
    if "gateway" in (roles.writer.by, roles.judge.by):
        return "writer and judge read: they are by grounded or openai"
    if roles.blind.by not in ("", "gateway", "openai"):
        return f"blind is by gateway or openai, or empty, not {roles.blind.by!r}"
    hearing = (roles.captioner, roles.answerer_a, roles.answerer_b, roles.blind)
    if recipe.num_threads < 1 or recipe.num_processes < 1:
        return "num_threads and num_processes are 1 or more"
    if recipe.num_threads > 1 and any(role.by == "gateway" for role in hearing):
        return "num_threads above 1 is for roles by openai; a model of ours hears one item at a time"
    if not recipe.name.replace("-", "").replace("_", "").isalnum():
        return f"name is made of letters, digits, - and _, not {recipe.name!r}"
    if len(recipe.scenes.seconds) != 2 or not 0 < recipe.scenes.seconds[0] <= recipe.scenes.seconds[1]:
        return f"scenes.seconds is a shortest and a longest length, not {recipe.scenes.seconds}"
    if not recipe.clips.subsets and not recipe.scenes.count:
        return "there is nothing to ask about: name clips or a count of scenes"
    return ""
