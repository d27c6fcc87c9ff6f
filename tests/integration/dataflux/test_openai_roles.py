"""Roles by `openai` against a real server (llama.cpp, random weights) behind a proxy that spoils answers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eureka.dataflux.budget import Ledger
from eureka.dataflux.endpoint import Endpoint, EndpointConfig
from eureka.dataflux.open_run import RoleParts, open_roles, open_source
from eureka.dataflux.recipe import FluxRecipe, parse_flux_recipe
from eureka.dataflux.records import Stage
from eureka.dataflux.roles import BudgetSpentError
from eureka.dataflux.runner import Share, run_items
from eureka.dataflux.stages import ItemPipeline, Outcome, look
from eureka.dataflux.store import RecordStore
from eureka.errors import InvalidInputError, StageUnavailableError
from eureka.storage.local import LocalObjectStore
from tests.helpers.faulty_endpoint import FAULTS, FaultyEndpoint, serving
from tests.helpers.flux_pack import write_flux_pack
from tests.helpers.tiny_llm import tiny_llm

RECIPE = """
name = "chat"
num_threads = 3
[clips.subsets]
esc10 = 2
[scenes]
count = 2
[roles]
# Hot, so that random weights come to the end of a string before their tokens do.
answerer_a = { by = "openai", model = "tiny", max_tokens = 300, temperature = 2.0 }
answerer_b = { by = "openai", model = "tiny", max_tokens = 300, temperature = 2.0 }
judge = { by = "openai", model = "tiny", max_tokens = 800, temperature = 2.0 }
blind = { by = "openai", model = "tiny", max_tokens = 300, temperature = 2.0 }
[questions]
per_item = 1
"""


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        import xllamacpp  # noqa: F401
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("xllamacpp is not installed; no OpenAI-compatible server to test against")
    with tiny_llm(tmp_path_factory.mktemp("llm")) as url:
        yield url


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flux_pack(tmp_path_factory.mktemp("pack"))


class Rig:
    """One run over one store, as often as it is started."""

    def __init__(self, pack: Path, folder: Path, recipe: str = RECIPE) -> None:
        self.pack, self.recipe = pack, parse_flux_recipe(recipe, "recipe")
        self.objects = LocalObjectStore(folder)
        self.records = RecordStore(self.objects, self.recipe.name)

    def run(self, url: str, recipe: FluxRecipe | None = None, **config: float) -> list[Outcome]:
        recipe = recipe or self.recipe
        ledger = Ledger(self.objects, self.records.spend_folder, recipe.budget)
        settings = EndpointConfig(
            url, timeout_seconds=config.get("timeout", 20.0), first_pause_seconds=0.01, max_attempts=8
        )
        endpoint = Endpoint(settings, ledger)
        source, weakness = open_source(recipe, self.pack)
        roles = open_roles(RoleParts(recipe, source, weakness, _no_ear, lambda: endpoint))
        self.pipeline = ItemPipeline(source, roles, self.records)
        outcomes: list[Outcome] = []
        try:
            run_items(self.pipeline, Share(), outcomes.append, num_threads=recipe.num_threads)
        finally:
            endpoint.close()
        return outcomes

    def spent(self) -> int:
        return Ledger(self.objects, self.records.spend_folder, self.recipe.budget).spent.tokens

    def keys(self) -> Counter[str]:
        page = self.objects.list_objects("dataflux/chat/")
        return Counter(info.key.split("/")[2] for info in page.objects)


def _no_ear() -> None:  # type: ignore[misc]
    raise AssertionError("no role by gateway")


def by_number(outcomes: list[Outcome]) -> list[object]:
    return [(o.item.number, o.answered, o.verdicts, o.discarded) for o in outcomes]


def test_every_fault_passes_and_no_record_is_lost_or_doubled(llm: str, pack: Path, tmp_path: Path) -> None:
    rig = Rig(pack, tmp_path)
    proxy = FaultyEndpoint(
        llm, [*FAULTS, "", "429", "500", "broken", "", "cut", "off_contract"], sleep_seconds=13.0
    )
    with serving(proxy) as url:
        outcomes = rig.run(url, timeout=12.0)
        assert all(proxy.seen[fault] for fault in FAULTS)
        assert sorted(o.item.number for o in outcomes) == list(range(4))
        assert all(o.is_done for o in outcomes)
        assert any(o.verdicts for o in outcomes) and proxy.audio_seconds > 5
        before, asked = rig.keys(), proxy.seen.total()
        assert before["items"] == before["caption"] == before["questions"] == before["answers"] == 4
        again = rig.run(url)
    key = lambda row: row[0]  # noqa: E731
    assert sorted(by_number(again), key=key) == sorted(by_number(outcomes), key=key)
    assert proxy.seen.total() == asked and rig.keys() == before
    assert proxy.tokens <= rig.spent()


def test_budget_stops_the_run_and_is_never_exceeded(llm: str, pack: Path, tmp_path: Path) -> None:
    rig = Rig(pack, tmp_path)
    poor = replace(rig.recipe, budget=replace(rig.recipe.budget, tokens=9_000), num_threads=1)
    proxy = FaultyEndpoint(llm, ["", "cut", "", "500", "broken"])
    with serving(proxy) as url:
        with pytest.raises(BudgetSpentError, match=r"Raise budget\.tokens"):
            rig.run(url, poor)
        assert proxy.tokens <= rig.spent() <= 9_000
        first = rig.keys()
        with pytest.raises(BudgetSpentError):
            rig.run(url, poor)
        assert rig.spent() <= 9_000
        outcomes = rig.run(url)
    assert all(o.is_done for o in outcomes) and len(outcomes) == 4
    assert first["answers"] < rig.keys()["answers"] == 4


def test_words_of_a_model_that_knows_nothing_are_discarded_with_the_reason(
    llm: str, pack: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.replace(
        "[roles]", '[roles]\nwriter = { by = "openai", model = "tiny", max_tokens = 9000 }'
    )
    rig = Rig(pack, tmp_path, recipe)
    with serving(FaultyEndpoint(llm)) as url:
        outcomes = rig.run(url)
    assert len(outcomes) == 4 and all(o.is_done for o in outcomes)
    for outcome in outcomes:
        assert not outcome.questions
        if outcome.discarded is not None:
            assert outcome.discarded[0] is Stage.QUESTIONS and outcome.discarded[1] == "INVALID_OUTPUT"
    assert any(o.discarded for o in outcomes)
    found = look(rig.records, rig.pipeline.plan, 0)
    assert found is not None and found.discarded == by_number(sorted(outcomes, key=_number))[0][3]  # type: ignore[index]


def _number(outcome: Outcome) -> int:
    return outcome.item.number


def test_endpoint_that_stays_away_ends_the_run_and_loses_nothing(
    llm: str, pack: Path, tmp_path: Path
) -> None:
    rig = Rig(pack, tmp_path)
    proxy = FaultyEndpoint(llm, ["500"] * 400)
    with serving(proxy) as url:
        with pytest.raises(StageUnavailableError) as caught:
            rig.run(url)
        assert caught.value.reason == "ENDPOINT_UNAVAILABLE"
        assert rig.spent() == 0  # nothing was generated
        proxy.plan.clear()
        assert len(rig.run(url)) == 4


def test_refusal_is_not_tried_again(llm: str, pack: Path, tmp_path: Path) -> None:
    rig = Rig(pack, tmp_path)
    one = replace(rig.recipe, num_threads=1)
    with pytest.raises(InvalidInputError) as caught:
        rig.run(f"{llm}/nowhere", one)
    assert caught.value.reason == "ENDPOINT_ANSWERS_404"
