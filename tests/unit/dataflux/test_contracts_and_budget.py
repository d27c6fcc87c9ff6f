"""Prompts, contracts of replies, and the ledger of a budget."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from eureka.dataflux.budget import Ledger
from eureka.dataflux.contracts import AnswerReply, QuestionsReply, VerdictReply, read_block
from eureka.dataflux.prompts import few_shot, fill, prompt_text
from eureka.dataflux.recipe import BudgetConfig, parse_flux_recipe
from eureka.dataflux.roles import BudgetSpentError
from eureka.dataflux.taxonomy import load_taxonomy
from eureka.errors import InvalidInputError
from eureka.storage.local import LocalObjectStore

BLOCK = "What is heard?\nA. rain\nB. wind\nC. a boat\nD. a train"


def test_prompt_is_filled_once_and_what_callers_say_stays_as_it_is() -> None:
    text = fill("answer", {"WHAT_YOU_HAVE": "You hear {{QUESTION}}.", "QUESTION": BLOCK})
    assert "You hear {{QUESTION}}." in text and BLOCK in text
    with pytest.raises(InvalidInputError) as caught:
        fill("answer", {"QUESTION": BLOCK})
    assert caught.value.reason == "INVALID_PROMPT"


def test_prompts_have_the_placeholders_of_the_contract_and_examples_that_hold_it() -> None:
    for name in ("{{HIERARCHY_BLOCK}}", "{{AUDIO_CAPTION}}", "{{FEW_SHOT_CONTENT}}"):
        assert name in prompt_text("write")
    for skill in load_taxonomy().skills:
        for block in few_shot(skill).split("\n\n"):
            assert len(read_block(block)[1]) == 4
    assert "KEEP_USING_WINNER" in prompt_text("judge")


@pytest.mark.parametrize(
    "wrong",
    [
        "What is heard?\nA. rain\nB. wind\nC. a boat",
        "What is heard?\nA. rain\nB. Rain\nC. a boat\nD. a train",
        BLOCK.replace("heard", "in the caption"),
        "A. rain\nB. wind\nC. a boat\nD. a train",
    ],
)
def test_question_off_the_contract_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        QuestionsReply(is_success=True, questions=[BLOCK, wrong])


def test_replies_that_contradict_themselves_are_refused() -> None:
    assert QuestionsReply(is_success=False, questions=[]).questions == []
    for wrong in ('{"is_success": true, "questions": []}', '{"is_success": true}', "no JSON"):
        with pytest.raises(ValidationError):
            QuestionsReply.model_validate_json(wrong)
    with pytest.raises(ValidationError):
        AnswerReply.model_validate_json('{"think": "", "response": "E"}')
    with pytest.raises(ValidationError, match="needs a winner"):
        VerdictReply.model_validate_json(
            '{"consensus": true, "consistency_with_caption": "STRONG_MATCH", "winner": "NONE",'
            ' "reasoning": "", "final_action": "KEEP_USING_WINNER"}'
        )


def test_budget_that_two_ledgers_share_is_never_exceeded(tmp_path: Path) -> None:
    limits = BudgetConfig(tokens=1_000)
    objects = LocalObjectStore(tmp_path)
    ledgers = [Ledger(objects, "spend/", limits) for _ in range(2)]
    refused: list[int] = []

    def spend(ledger: Ledger) -> None:
        try:
            while True:
                with ledger.call(60, 40) as call:
                    call.generated_tokens = 10
        except BudgetSpentError:
            refused.append(1)

    threads = [threading.Thread(target=spend, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = Ledger(objects, "spend/", limits).spent.tokens
    assert len(refused) == 2 and 900 < spent <= 1_000 and spent % 70 == 0


def test_call_that_broke_stays_spent_unless_it_is_known_to_be_free(tmp_path: Path) -> None:
    ledger = Ledger(LocalObjectStore(tmp_path), "spend/", BudgetConfig(usd_per_million_prompt=10.0))
    with pytest.raises(ZeroDivisionError), ledger.call(100, 50):
        raise ZeroDivisionError
    assert ledger.spent.tokens == 150 and ledger.spent.usd == pytest.approx(0.001)
    with pytest.raises(ZeroDivisionError), ledger.call(100, 50) as call:
        call.prompt_tokens = call.generated_tokens = 0
        raise ZeroDivisionError
    assert ledger.spent.tokens == 150


@pytest.mark.parametrize(
    "wrong",
    [
        'name = "a"',
        'name = "a b"\n[scenes]\ncount = 1',
        'name = "a"\n[scenes]\ncount = 1\n[roles]\nwriter = { by = "gateway" }',
        'name = "a"\n[scenes]\ncount = 1\n[roles]\nanswerer_a = { by = "grounded" }',
        'name = "a"\nnum_threads = 2\n[scenes]\ncount = 1',
        'name = "a"\n[scenes]\ncount = true',
        'name = "a"\n[scenes]\nnumber = 1',
    ],
)
def test_recipe_that_cannot_run_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_flux_recipe(wrong, "recipe.toml")
    assert caught.value.reason == "INVALID_RECIPE"


def test_shipped_recipes_are_read(repo_root: Path) -> None:
    paths = sorted((repo_root / "recipes" / "dataflux").glob("*.toml"))
    assert paths
    for path in paths:
        assert parse_flux_recipe(path.read_text(encoding="utf-8"), str(path)).name == path.stem
