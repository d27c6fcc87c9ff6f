from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from eureka.training import run_state
from eureka.training.optimizer import MixedOptimizer, OptimizerConfig
from eureka.training.run_state import RunFolder, WeightAverage, save_whole
from eureka.training.schedule import Progress, ScheduleConfig


def _optimizer(seed: int = 0) -> MixedOptimizer:
    generator = torch.Generator().manual_seed(seed)
    matrix, vector = (nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((4, 3), (5,)))
    return MixedOptimizer([("layer.weight", matrix, 1.0), ("layer.bias", vector, 1.0)], OptimizerConfig())


def _advance(optimizer: MixedOptimizer, progress: Progress) -> None:
    generator = torch.Generator().manual_seed(progress.step)
    for slot in optimizer._slots:
        slot.work.grad = torch.randn(slot.work.shape, generator=generator)
    optimizer.step(1.0)
    progress.tick()


def _saved(folder: Path, steps: int) -> tuple[MixedOptimizer, Progress]:
    optimizer, progress = _optimizer(), Progress(ScheduleConfig())
    for _ in range(steps):
        _advance(optimizer, progress)
    RunFolder(folder).save(optimizer, progress, {"trainer": {"phase": 2}})
    return optimizer, progress


def _assert_resumes_as(folder: Path, optimizer: MixedOptimizer, step: int) -> None:
    other, progress = _optimizer(seed=9), Progress(ScheduleConfig())
    assert RunFolder(folder).resume(other, progress) == {"trainer": {"phase": 2}}
    assert progress.step == step
    assert other.num_updates == optimizer.num_updates
    for name, master in optimizer.masters().items():
        assert torch.equal(other.masters()[name], master)
    for ours, theirs in zip(other._slots, optimizer._slots, strict=True):
        assert torch.equal(ours.first, theirs.first)
        assert ours.second is theirs.second is None or torch.equal(ours.second, theirs.second)


def test_run_folder_without_state_gives_none(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "new").resume(_optimizer(), Progress(ScheduleConfig())) is None


def test_run_folder_saved_state_resumes_whole_and_old_files_go(tmp_path: Path) -> None:
    optimizer, progress = _saved(tmp_path, 3)
    _advance(optimizer, progress)
    RunFolder(tmp_path).save(optimizer, progress, {"trainer": {"phase": 2}})
    assert [path.name for path in tmp_path.glob("state-*")] == ["state-4.safetensors"]
    _assert_resumes_as(tmp_path, optimizer, 4)


@pytest.mark.parametrize("killed_at", ["tensors", "numbers"])
def test_run_folder_killed_between_two_files_leaves_a_whole_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    _saved(tmp_path, 3)
    before, _ = _saved(tmp_path / "same", 3)
    later, progress = _saved(tmp_path / "later", 5)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_state, "save_whole" if killed_at == "tensors" else "_write_whole", die)
        with pytest.raises(KeyboardInterrupt):
            RunFolder(tmp_path).save(later, progress, {"trainer": {"phase": 3}})
    _assert_resumes_as(tmp_path, before, 3)


def test_save_whole_killed_half_way_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state-3.safetensors"
    save_whole({"a": torch.ones(3)}, path)
    whole = path.read_bytes()
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        save_whole({"a": "no tensor"}, path)  # type: ignore[dict-item]
    assert path.read_bytes() == whole


def test_run_folder_finished_says_so(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert not run.is_finished
    run.finish({"steps": 4})
    assert run.is_finished
    assert json.loads((tmp_path / "finished.json").read_text()) == {"steps": 4}


def test_run_folder_log_goes_to_jsonl_and_tensorboard(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.log(20, {"loss": 1.25})
    run.log(40, {"loss": 0.123456})
    run.finish({})
    rows = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(20, 1.25), (40, 0.12346)]
    [events] = (tmp_path / "events").iterdir()
    assert b"loss" in events.read_bytes()


def test_average_equals_the_definition_with_a_warm_decay() -> None:
    values = [torch.tensor([float(n)]) for n in (1, 4, 9, 16)]
    average = WeightAverage({"w": values[0]}, decay=0.3)
    wanted = 1.0
    for count, value in enumerate(values[1:], start=1):
        average.update({"w": value})
        decay = min(0.3, (1 + count) / (10 + count))
        wanted = decay * wanted + (1 - decay) * float(value)
    assert float(average.values["w"]) == pytest.approx(wanted)
    assert values[0].item() == 1.0  # the master itself stays


def test_average_saved_and_loaded_goes_on_the_same(tmp_path: Path) -> None:
    average = WeightAverage({"w": torch.zeros(2)}, decay=0.9)
    for number in range(3):
        average.update({"w": torch.full((2,), float(number))})
    average.save(tmp_path, 3)
    loaded = WeightAverage({"w": torch.full((2,), 7.0)}, decay=0.9)
    loaded.load(tmp_path, 3)
    for each in (average, loaded):
        each.update({"w": torch.ones(2)})
    assert torch.equal(loaded.values["w"], average.values["w"])


def test_average_killed_before_the_state_was_written_finds_its_pair(tmp_path: Path) -> None:
    optimizer, progress = _saved(tmp_path, 3)
    average = WeightAverage(optimizer.masters(), decay=0.9)
    average.save(tmp_path, 3)
    kept = {name: tensor.clone() for name, tensor in average.values.items()}
    average.update({name: tensor + 1 for name, tensor in kept.items()})
    average.save(tmp_path, 5)  # and killed: state.json still names step 3
    assert RunFolder(tmp_path).resume(_optimizer(), progress) is not None
    resumed = WeightAverage(optimizer.masters(), decay=0.9)
    resumed.load(tmp_path, progress.step)
    assert all(torch.equal(resumed.values[name], kept[name]) for name in kept)


def test_average_keeps_two_files_at_most(tmp_path: Path) -> None:
    average = WeightAverage({"w": torch.zeros(2)}, decay=0.9)
    for step in (2, 4, 6, 8):
        average.save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"average-{n}.safetensors" for n in (6, 8)]
