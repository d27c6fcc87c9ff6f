"""Builds the parts of a run from its recipe: source, roles, records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eureka.dataflux.distractors import Distractors
from eureka.dataflux.ears import Ear
from eureka.dataflux.gateway_roles import GatewayCaptioner, ScoringAnswerer, SpeakingAnswerer
from eureka.dataflux.grounded import GroundedCaptioner
from eureka.dataflux.judge import GroundedJudge
from eureka.dataflux.recipe import FluxRecipe, RoleConfig
from eureka.dataflux.roles import Answerer, Captioner, Judge, Roles, Writer
from eureka.dataflux.sources import FolderSource
from eureka.dataflux.taxonomy import load_taxonomy
from eureka.dataflux.weakness import Weakness, read_weakness
from eureka.dataflux.writer import GroundedWriter


@dataclass(frozen=True, slots=True)
class RoleParts:
    """What roles are built of.

    Attributes:
        recipe: the run.
        source: its items, whose train rows are the pool of wrong options.
        weakness: of an evaluation.
        ear: opens the model of `gateway` roles; asked at most once.
        chat: builds the roles of `openai`; None where no endpoint is set.
    """

    recipe: FluxRecipe
    source: FolderSource
    weakness: Weakness
    ear: Callable[[], Ear]


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
    return GatewayCaptioner(parts.ear()) if config.by == "gateway" else GroundedCaptioner()


def _writer(config: RoleConfig, parts: RoleParts) -> Writer:
    taxonomy, questions = load_taxonomy(), parts.recipe.questions
    return GroundedWriter(
        taxonomy,
        Distractors(taxonomy, parts.source.rows, parts.weakness.confusion),
        questions.per_item,
        questions.skills,
        parts.weakness.categories,
        parts.recipe.seed,
    )


def _answerer(config: RoleConfig, parts: RoleParts, hears: bool = True) -> Answerer:
    if config.answers == "text" and hears:
        return SpeakingAnswerer(parts.ear(), config.shows_options)
    return ScoringAnswerer(parts.ear(), config.shows_options, hears)


def _judge(config: RoleConfig, parts: RoleParts) -> Judge:
    return GroundedJudge()
