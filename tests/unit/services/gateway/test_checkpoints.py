"""Which checkpoint answers a call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eureka.errors import InvalidInputError, NotFoundError, StageUnavailableError
from eureka.runtime.settings_sections import GatewaySettings, check_canary
from eureka.types import CallContext, ModelCard
from services.gateway.checkpoints import Checkpoint, Checkpoints
from services.gateway.model_service import ServedModel


class Stages:
    """Stages that know their checkpoint's name, or are away."""

    def __init__(self, name: str | None) -> None:
        self.name = name

    async def describe(self, context: CallContext) -> ModelCard:
        if self.name is None:
            raise StageUnavailableError("away")
        return ModelCard(self.name, {}, 1_024, 10.0, None, 1.0)


async def told(name: str | None) -> Checkpoint:
    stages: Any = Stages(name)
    served = ServedModel(stages)
    await served._ask()
    return Checkpoint(stages, served)


def draws(*numbers: float) -> Any:
    remaining: Iterator[float] = iter(numbers)
    return lambda: next(remaining)


async def chosen(checkpoints: Checkpoints, name: str = "") -> str:
    stages, card = checkpoints.choose(name)
    assert stages.name == card.name  # type: ignore[attr-defined]
    return card.name


async def test_share_of_calls_without_a_name_goes_to_the_canary() -> None:
    both = Checkpoints(await told("old"), await told("new"), 25, draws(0.0, 0.249, 0.25, 0.999))
    assert [await chosen(both) for _ in range(4)] == ["new", "new", "old", "old"]


@pytest.mark.parametrize(("percent", "expected"), [(0, "old"), (100, "new")])
async def test_none_and_all_are_shares_too(percent: int, expected: str) -> None:
    both = Checkpoints(await told("old"), await told("new"), percent)
    assert {await chosen(both) for _ in range(200)} == {expected}


async def test_name_picks_its_checkpoint_whatever_the_share() -> None:
    for percent in (0, 100):
        both = Checkpoints(await told("old"), await told("new"), percent)
        assert [await chosen(both, name) for name in ("old", "new")] == ["old", "new"]
        assert [card.name for card in both.cards] == ["old", "new"]


async def test_unknown_name_is_refused_with_what_is_served() -> None:
    both = Checkpoints(await told("old"), await told("new"), 50)
    with pytest.raises(NotFoundError, match="served: old, new") as caught:
        both.choose("newest")
    assert caught.value.reason == "MODEL_NOT_FOUND"


async def test_canary_that_has_not_told_gets_no_calls() -> None:
    both = Checkpoints(await told("old"), await told(None), 100)
    assert await chosen(both) == "old"
    assert [card.name for card in both.cards] == ["old"]


async def test_canary_does_not_stand_in_for_the_first() -> None:
    both = Checkpoints(await told(None), await told("new"), 0)
    with pytest.raises(StageUnavailableError, match="has not answered"):
        both.choose("")


@pytest.mark.parametrize(
    "targets",
    [
        {"canary_decoder_target": "decoder:1"},
        {"canary_percent": 5},
        {"canary_decoder_target": "d:1", "canary_encoder_target": "e:1", "embedding_path": "two_stage"},
    ],
)
def test_half_a_canary_is_refused(targets: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_canary(GatewaySettings(**targets))
    assert caught.value.reason == "INCOMPLETE_CANARY"


def test_whole_canary_and_none_are_taken() -> None:
    check_canary(GatewaySettings())
    check_canary(GatewaySettings(canary_decoder_target="d:1", canary_encoder_target="e:1", canary_percent=5))
