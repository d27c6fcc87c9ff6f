"""The model of `gateway` roles: in this process and at a real gRPC server it hears the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eureka.cli.local import open_local
from eureka.clients.gateway import GatewayClient
from eureka.dataflux.ears import GatewayEar, PipelineEar
from eureka.dataflux.gateway_roles import GatewayCaptioner, ScoringAnswerer, SpeakingAnswerer
from eureka.dataflux.items import Item
from eureka.dataflux.recipe import FluxRecipe, SceneConfig
from eureka.dataflux.records import CategoryPath, Question
from eureka.dataflux.sources import FolderSource
from eureka.runtime.settings import load_settings
from tests.helpers.flux_pack import write_flux_pack
from tests.helpers.small_gateway import serving, small_gateway

PATH = CategoryPath("mixed", "scenes", "rain", "first")
FIRST = Question(0, PATH, "Which sound comes first?", ("rain", "dog bark", "piano", "wind"))
WHEN = Question(
    1, CategoryPath("mixed", "s", "rain", "when"), "When?", ("at 0.5 seconds", "at 3 seconds"), "rain"
)


@pytest.fixture(scope="module")
def here(checkpoint_folder: Path) -> Iterator[PipelineEar]:
    with open_local(load_settings(), checkpoint_folder) as local:
        yield PipelineEar(local.embedder, local.decoder, "here")


@pytest.fixture(scope="module")
def there(checkpoint_folder: Path) -> Iterator[GatewayEar]:
    with (
        small_gateway(checkpoint_folder) as gateway,
        serving(gateway) as targets,
        GatewayClient(targets["plain"]) as client,
    ):
        yield GatewayEar(client)


@pytest.fixture(scope="module")
def item(tmp_path_factory: pytest.TempPathFactory) -> Item:
    scenes = SceneConfig(1, sounds=("esc10",), speech=("speechocean762",))
    folder = write_flux_pack(tmp_path_factory.mktemp("pack"))
    return FolderSource(folder, FluxRecipe("ears", scenes=scenes)).open(0)


def test_gateway_hears_what_this_process_hears(here: PipelineEar, there: GatewayEar, item: Item) -> None:
    assert there.ask(item, "what do you hear") == here.ask(item, "what do you hear")
    assert there.transcript(item) == here.transcript(item)
    assert [s.text for s in there.describe(item)] == [s.text for s in here.describe(item)]


def test_option_is_chosen_with_and_without_the_audio(
    here: PipelineEar, there: GatewayEar, item: Item
) -> None:
    for heard in (item, None):
        scores = here.choose(heard, "which sound comes first", FIRST.options)
        chosen = there.choose(heard, "which sound comes first", FIRST.options)
        assert sum(scores) == pytest.approx(1.0) and len(set(scores)) == 4
        assert sorted(chosen) == [0.0, 0.0, 0.0, 1.0]


def test_roles_give_an_answer_a_question_and_say_what_they_depend_on(
    here: PipelineEar, there: GatewayEar, item: Item
) -> None:
    for ear in (here, there):
        scored = ScoringAnswerer(ear).answer(item, [FIRST, WHEN])
        assert all(answer.option is not None and answer.confidence for answer in scored)
        assert len(SpeakingAnswerer(ear).answer(item, [FIRST, WHEN])) == 2
        caption = GatewayCaptioner(ear).caption(item)
        assert caption.seconds == item.seconds and not caption.is_whole and caption.text
    identities = [
        ScoringAnswerer(ear, hears=hears).identity for ear in (here, there) for hears in (True, False)
    ]
    assert len({str(identity) for identity in identities}) == 4
