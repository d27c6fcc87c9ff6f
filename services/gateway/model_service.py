"""ModelService, and what the gateway knows of the checkpoint behind it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from eureka.api.v1 import model_service_pb2, model_service_pb2_grpc
from eureka.clients.metadata import new_request_id
from eureka.errors import EurekaError, StageUnavailableError
from eureka.types import CallContext, ModelCard
from services.gateway.translate import model_message

logger = logging.getLogger(f"eureka.{__name__}")

_RETRY_SECONDS = 0.5
"""Between questions while nothing is known."""

_REFRESH_SECONDS = 30.0
"""A decoder that came back with another checkpoint is known after this time."""


class Describing(Protocol):
    """Whoever describes the checkpoint."""

    async def describe(self, context: CallContext) -> ModelCard:
        """As `StageClients.describe`."""


class ServedModel:
    """The checkpoint that the decoder serves, asked for at the start and from time to time.

    Args:
        stages: the decoder.
    """

    def __init__(self, stages: Describing) -> None:
        self._stages = stages
        self._card: ModelCard | None = None
        self._is_known = asyncio.Event()

    @property
    def card(self) -> ModelCard:
        """What is known.

        Raises:
            StageUnavailableError: reason STARTING; the decoder has not told yet.
        """
        if self._card is None:
            message = "the decoder has not answered since the gateway started; try again"
            raise StageUnavailableError(message, reason="STARTING")
        return self._card

    @property
    def is_known(self) -> bool:
        """Whether the decoder has told."""
        return self._card is not None

    async def wait(self) -> None:
        """Until the decoder has told."""
        await self._is_known.wait()

    async def run(self) -> None:
        """Ask, until cancelled."""
        while True:
            await self._ask()
            await asyncio.sleep(_RETRY_SECONDS if self._card is None else _REFRESH_SECONDS)

    async def _ask(self) -> None:
        context = CallContext(new_request_id(), deadline=time.monotonic() + _REFRESH_SECONDS)
        try:
            card = await self._stages.describe(context)
        except EurekaError as error:
            logger.info("decoder_not_described", extra={"reason": error.reason})
            return
        if card != self._card:
            logger.info("model_served", extra={"model": card.name, "weights_sha256": card.weights_sha256})
        self._card = card
        self._is_known.set()


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Lists what is served.

    Args:
        cards: the checkpoints that are served now, the default one first.
        limits: of the gateway.
    """

    def __init__(self, cards: Callable[[], Sequence[ModelCard]], limits: model_service_pb2.Limits) -> None:
        self._cards = cards
        self._limits = limits

    async def List(
        self, request: model_service_pb2.ListRequest, context: object
    ) -> model_service_pb2.ListResponse:
        """All checkpoints, the default one first."""
        models = [model_message(card) for card in self._cards()]
        return model_service_pb2.ListResponse(models=models, limits=self._limits)
