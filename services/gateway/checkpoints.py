"""Which checkpoint answers a call: the first one, or a canary beside it.

A call that names a checkpoint gets it. Of the others a share goes to the canary, once that has described
itself; jobs are always heard by the first one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from eureka.clients.blocking import Stages
from eureka.errors import NotFoundError
from eureka.types import ModelCard
from services.gateway.model_service import ServedModel


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint with the stages that serve it.

    Attributes:
        stages: hear and answer.
        served: what is known of it.
    """

    stages: Stages
    served: ServedModel


class Checkpoints:
    """One checkpoint or two.

    Args:
        first: answers who names none.
        canary: answers a share of them; None where there is none.
        percent: that share, 0 to 100.
        draw: a number from 0 up to 1, for each such call.
    """

    def __init__(
        self,
        first: Checkpoint,
        canary: Checkpoint | None = None,
        percent: float = 0.0,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._first = first
        self._canary = canary
        self._percent = percent
        self._draw = draw

    @property
    def cards(self) -> list[ModelCard]:
        """What is served, the first one first; a canary that has not told is left out.

        Raises:
            StageUnavailableError: reason STARTING.
        """
        canary = self._known_canary()
        return [self._first.served.card, *([canary.served.card] if canary is not None else [])]

    def choose(self, name: str) -> tuple[Stages, ModelCard]:
        """The stages and the card of the checkpoint for a call that names `name`, or none.

        Raises:
            NotFoundError: reason MODEL_NOT_FOUND.
            StageUnavailableError: reason STARTING.
        """
        chosen = self._named(name) if name else self._drawn()
        return chosen.stages, chosen.served.card

    def _drawn(self) -> Checkpoint:
        canary = self._known_canary()
        return canary if canary is not None and self._draw() * 100 < self._percent else self._first

    def _named(self, name: str) -> Checkpoint:
        for one in (self._first, self._known_canary()):
            if one is not None and one.served.card.name == name:
                return one
        served = ", ".join(card.name for card in self.cards)
        message = f"there is no model {name[:64]!r}; served: {served}"
        raise NotFoundError(message, reason="MODEL_NOT_FOUND")

    def _known_canary(self) -> Checkpoint | None:
        return self._canary if self._canary is not None and self._canary.served.is_known else None
