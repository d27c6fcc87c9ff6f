from __future__ import annotations

import json
import multiprocessing
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor, nn

from eureka.errors import InvalidInputError, NotFoundError
from eureka.training.loop import WEIGHTS_NAME, TrainingLoop, take_up_weights
from eureka.training.process_group import ProcessGroup
from eureka.training.recipe import Recipe
from eureka.training.run import run
from tests.helpers.tiny_trainer import TinyNet, TinyTrainer, tiny_recipe, train_as_member


def _train(recipe: Recipe, trainer: TinyTrainer) -> dict[str, Tensor]:
    TrainingLoop(recipe, trainer).train()
    return load_file(recipe.folder / WEIGHTS_NAME)


def _assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("dies_at", [1, 3, 4])
def test_loop_killed_and_resumed_equals_the_unbroken_run_bit_for_bit(tmp_path: Path, dies_at: int) -> None:
    straight = _train(tiny_recipe(tmp_path / "straight"), TinyTrainer())
    recipe = tiny_recipe(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        _train(recipe, TinyTrainer(dies_at=dies_at))
    second = TinyTrainer(seed=5)  # its fresh weights must not matter
    _assert_same(_train(recipe, second), straight)
    assert second.seen == 6 - dies_at


def test_loop_with_rare_saves_goes_on_from_the_last_one(tmp_path: Path) -> None:
    straight = _train(tiny_recipe(tmp_path / "straight"), TinyTrainer())
    recipe = tiny_recipe(tmp_path / "broken", save_minutes=60.0)
    with pytest.raises(KeyboardInterrupt):
        _train(recipe, TinyTrainer(dies_at=5))
    second = TinyTrainer()  # saved where the batches changed, at step 3
    _assert_same(_train(recipe, second), straight)
    assert second.seen == 3


def test_loop_changes_its_batches_where_the_trainer_says(tmp_path: Path) -> None:
    trainer = TinyTrainer()
    _train(tiny_recipe(tmp_path), trainer)
    assert trainer.phase == 1
    state = json.loads((tmp_path / "tiny" / "state.json").read_text())
    assert state["extra"] == {"trainer": {"phase": 1}} and state["step"] == 6


def test_loop_writes_the_average_where_the_recipe_asks_for_one(tmp_path: Path) -> None:
    plain = _train(tiny_recipe(tmp_path / "plain", average=0.0), TinyTrainer())
    averaged = _train(tiny_recipe(tmp_path / "averaged", average=0.9), TinyTrainer())
    kept = load_file(tmp_path / "averaged" / "tiny" / "average-6.safetensors")
    masters = load_file(tmp_path / "averaged" / "tiny" / "state-6.safetensors")
    for name in plain:
        assert torch.equal(masters[f"{name}|master"], plain[name])
        assert torch.equal(averaged[name], kept[name])
        assert not torch.equal(averaged[name], plain[name])


def test_loop_accumulating_equals_the_larger_batch(tmp_path: Path) -> None:
    whole = _train(tiny_recipe(tmp_path / "whole"), TinyTrainer(joined=2))
    parts = _train(tiny_recipe(tmp_path / "parts", accumulate=2), TinyTrainer())
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], atol=2e-4, rtol=1e-3)


def test_loop_of_two_processes_equals_the_larger_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _train(tiny_recipe(tmp_path / "whole"), TinyTrainer(joined=2))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    for name, value in {**address, "WORLD_SIZE": "2", "RANK": "1", "GLOO_SOCKET_IFNAME": "lo"}.items():
        monkeypatch.setenv(name, value)
    other = multiprocessing.get_context("spawn").Process(target=train_as_member, args=(tmp_path / "two",))
    other.start()
    monkeypatch.setenv("RANK", "0")
    try:
        train_as_member(tmp_path / "two")
    finally:
        other.join(60)  # first: it may still talk to this process, which is where both meet
        dist.destroy_process_group()
    assert other.exitcode == 0
    for name, tensor in load_file(tmp_path / "two" / "tiny" / WEIGHTS_NAME).items():
        torch.testing.assert_close(tensor, whole[name], atol=2e-4, rtol=1e-3)


def test_loop_resumed_at_its_end_only_finishes(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    wanted = _train(recipe, TinyTrainer())
    (recipe.folder / "finished.json").unlink()
    (recipe.folder / WEIGHTS_NAME).unlink()
    trainer = TinyTrainer(dies_at=0)
    _assert_same(_train(recipe, trainer), wanted)


def test_run_passes_over_a_finished_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tiny_recipe(tmp_path)
    _train(recipe, TinyTrainer())
    run(recipe, tmp_path / "no recordings")  # the stage itself would fail without data
    assert "tiny: finished before" in capsys.readouterr().out


def test_take_up_weights_reports_what_the_stage_did_not_write(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    weights = _train(recipe, TinyTrainer())
    larger = nn.ModuleDict({"body": nn.Linear(6, 8), "head": nn.Linear(8, 6), "new": nn.Linear(2, 2)})
    assert take_up_weights(larger, recipe.folder) == ["new.weight", "new.bias"]
    assert torch.equal(larger["body"].weight, weights["body.weight"])


def test_take_up_weights_without_a_place_is_refused(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    _train(recipe, TinyTrainer())
    smaller = TinyNet()
    del smaller.head
    with pytest.raises(InvalidInputError, match="head"):
        take_up_weights(smaller, recipe.folder)
    assert take_up_weights(smaller, recipe.folder, leave_out=("head",)) == []


def test_take_up_weights_of_a_stage_not_run_names_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="run the stage encoder first"):
        take_up_weights(TinyNet(), tmp_path / "encoder")


def test_process_group_outside_of_torchrun_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    group = ProcessGroup.join()
    assert group == ProcessGroup(0, 1) and group.is_first
    assert group.value_of_first(2.5) == 2.5
    done: list[int] = []
    group.first_does(lambda: done.append(1))
    assert done == [1]


def test_process_group_other_than_the_first_does_not_work() -> None:
    ProcessGroup(rank=1, world=1).first_does(lambda: pytest.fail("only the first works"))
