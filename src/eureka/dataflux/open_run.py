"""Builds the parts of a run from its recipe: source, roles, records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eureka.dataflux.distractors import Distractors
from eureka.dataflux.ears import Ear
from eureka.dataflux.endpoint import Endpoint
from eureka.dataflux.gateway_roles import GatewayCaptioner, ScoringAnswerer, SpeakingAnswerer
from eureka.dataflux.grounded import GroundedCaptioner
from eureka.dataflux.judge import GroundedJudge
from eureka.dataflux.openai_roles import (
    OpenAIAnswerer,
    OpenAICaptioner,
    OpenAIJudge,
    OpenAIWriter,
    Speaker,
)
from eureka.dataflux.recipe import FluxRecipe, RoleConfig
from eureka.dataflux.roles import Answerer, Captioner, Judge, Roles, Writer
from eureka.dataflux.sources import FolderSource
from eureka.dataflux.taxonomy import load_taxonomy
from eureka.dataflux.weakness import Weakness, read_weakness
from eureka.dataflux.writer import GroundedWriter
from eureka.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class RoleParts:
    """What roles are built of.

    Attributes:
        recipe: the run.
        source: its items, whose train rows are the pool of wrong options.
        weakness: of an evaluation.
        ear: opens the model of `gateway` roles; asked at most once.
        endpoint: opens that of `openai` roles.
        model: of `openai` roles whose recipe names none.
    """

    recipe: FluxRecipe
    source: FolderSource
    weakness: Weakness
    ear: Callable[[], Ear]
    endpoint: Callable[[], Endpoint]
    model: str = ""

    def speaker(self, config: RoleConfig) -> Speaker:
        """The model of an `openai` role.

        Raises:
            InvalidInputError: reason NO_MODEL; neither recipe nor settings name one.
        """
        model = config.model or self.model
        if not model:
            message = "a role by openai names no model; set it in the recipe or by EUREKA_DATAFLUX__MODEL"
            raise InvalidInputError(message, reason="NO_MODEL")
        return Speaker(self.endpoint(), model, config.temperature, config.max_tokens, self.recipe.seed)


def open_source(recipe: FluxRecipe, data_folder: Path) -> tuple[FolderSource, Weakness]:
    """The items of a recipe, weak phrases more often, and the weakness itself.

    Raises: as `FolderSource` and `read_weakness`.
    """
    weakness = read_weakness(recipe.questions.confusion, recipe.questions.sharpness)
    return FolderSource(data_folder, recipe, weakness.phrases), weakness


def open_roles(parts: RoleParts) -> Roles:
    """The roles of a recipe."""
    roles = parts.recipe.roles
    return Roles(
        _captioner(roles.captioner, parts),
        _writer(roles.writer, parts),
        _answerer(roles.answerer_a, parts),
        _answerer(roles.answerer_b, parts),
        _judge(roles.judge, parts),
        _answerer(roles.blind, parts, hears=False) if roles.blind.by else None,
    )


def _captioner(config: RoleConfig, parts: RoleParts) -> Captioner:
    if config.by == "openai":
        return OpenAICaptioner(parts.speaker(config))
    return GatewayCaptioner(parts.ear()) if config.by == "gateway" else GroundedCaptioner()


def _writer(config: RoleConfig, parts: RoleParts) -> Writer:
    taxonomy, questions = load_taxonomy(), parts.recipe.questions
    weights = parts.weakness.categories
    if config.by == "openai":
        skills = questions.skills or tuple(taxonomy.skills)
        return OpenAIWriter(parts.speaker(config), taxonomy, skills, weights, questions.per_item)
    return GroundedWriter(
        taxonomy,
        Distractors(taxonomy, parts.source.rows, parts.weakness.confusion),
        questions.per_item,
        questions.skills,
        weights,
        parts.recipe.seed,
    )


def _answerer(config: RoleConfig, parts: RoleParts, hears: bool = True) -> Answerer:
    if config.by == "openai":
        return OpenAIAnswerer(parts.speaker(config), hears)
    if config.answers == "text" and hears:
        return SpeakingAnswerer(parts.ear(), config.shows_options)
    return ScoringAnswerer(parts.ear(), config.shows_options, hears)


def _judge(config: RoleConfig, parts: RoleParts) -> Judge:
    if config.by == "openai":
        return OpenAIJudge(parts.speaker(config), load_taxonomy())
    return GroundedJudge()
