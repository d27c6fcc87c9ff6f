"""The training loop that every stage shares: update, average, save, resume, curves.

A stage gives a `Trainer`; the loop asks it for batches and losses and knows nothing of tasks. Under
torchrun each process takes every world_size-th batch and gradients are averaged.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from eureka.errors import InvalidInputError
from eureka.training.batch_stream import BatchMaker, BatchStream
from eureka.training.optimizer import MixedOptimizer
from eureka.training.recipe import Recipe
from eureka.training.run_state import RunFolder, WeightAverage
from eureka.training.schedule import Progress

WEIGHTS_NAME = "weights.safetensors"
_LOG_EVERY = 20


class Trainer(Protocol):
    """What a stage brings to the loop."""

    module: nn.Module
    """Holds everything that is saved; parameters that need no gradient stay as they are."""

    def rate_of(self, name: str) -> float:
        """Factor on the learning rate of a parameter."""

    def batches(self) -> Callable[[], BatchMaker]:
        """A picklable builder of the batch maker for the data as it stands now."""

    def losses(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The loss to minimise and the figures for the curves."""

    def before_step(self, share: float) -> bool:
        """Do what is due at this share of the stage; True when the batches changed."""

    def state(self) -> dict[str, Any]:
        """Plain values to keep with the state."""

    def resume(self, state: dict[str, Any]) -> None:
        """Take up those values."""


class TrainingLoop:
    """Runs one stage to its end, from wherever its folder says."""

    def __init__(self, recipe: Recipe, trainer: Trainer) -> None:
        self.recipe, self.trainer = recipe, trainer
        self.run = RunFolder(recipe.folder)
        self.rank, self.world = _join_group()
        named = [(n, p, trainer.rate_of(n)) for n, p in trainer.module.named_parameters() if p.requires_grad]
        self.optimizer = MixedOptimizer(named, recipe.optimizer)
        self.progress = Progress(recipe.schedule)
        extra = self.run.resume(self.optimizer, self.progress)
        if extra is not None:
            trainer.resume(extra["trainer"])
        self.average = WeightAverage(self.optimizer.masters(), recipe.average) if recipe.average else None
        if self.average is not None and extra is not None:
            self.average.load(self.run.folder, self.progress.step)
        self._sums: dict[str, float] = defaultdict(float)
        self._saved_at = time.monotonic()

    def train(self) -> None:
        """Run to the end and write the weights."""
        while not self.progress.is_done:
            self._train_until_batches_change()
        self._write_weights()
        self.run.finish({"steps": self.progress.step, "seconds": round(self.progress.elapsed_seconds, 1)})

    def _train_until_batches_change(self) -> None:
        self.trainer.before_step(self.progress.share)
        start = self.progress.step * self.recipe.batch.accumulate * self.world + self.rank
        workers = self.recipe.data.num_workers
        with BatchStream(self.trainer.batches(), start, workers, stride=self.world) as stream:
            batches = iter(stream)
            while not self.progress.is_done:
                self._update(batches)
                if self.trainer.before_step(self.progress.share):
                    self._save()
                    return

    def _update(self, batches: Any) -> None:
        self.optimizer.zero_grad()
        for _ in range(self.recipe.batch.accumulate):
            loss, figures = self.trainer.losses(next(batches))
            (loss / self.recipe.batch.accumulate).backward()  # type: ignore[no-untyped-call]
            for name, value in figures.items():
                self._sums[name] += value
                self._sums["count " + name] += 1
        if self.world > 1:
            _average_gradients(self.trainer.module, self.world)
        self._sums["gradient_norm"] += self.optimizer.step(self.progress.rate)
        self._sums["count gradient_norm"] += 1
        if self.average is not None:
            self.average.update(self.optimizer.masters())
        self.progress.tick()
        self._report()

    def _report(self) -> None:
        if self.progress.step % _LOG_EVERY == 0 and self.rank == 0:
            names = [n for n in self._sums if not n.startswith("count ")]
            figures = {n: self._sums[n] / self._sums["count " + n] for n in names}
            figures |= {"rate": self.progress.rate, "minutes": self.progress.elapsed_seconds / 60}
            self.run.log(self.progress.step, figures)
            self._sums.clear()
        if time.monotonic() - self._saved_at > self.recipe.save_minutes * 60:
            self._save()

    def _save(self) -> None:
        if self.rank == 0:
            if self.average is not None:
                self.average.save(self.run.folder, self.progress.step)
            self.run.save(self.optimizer, self.progress, {"trainer": self.trainer.state()})
        self._saved_at = time.monotonic()

    @torch.no_grad()
    def _write_weights(self) -> None:
        if self.rank:
            return
        self._save()
        values = self.optimizer.masters() | (self.average.values if self.average is not None else {})
        tensors = {n: t.detach().float().contiguous() for n, t in self.trainer.module.state_dict().items()}
        tensors |= {n: t.contiguous() for n, t in values.items()}
        save_file(tensors, self.run.folder / WEIGHTS_NAME)


def take_up_weights(module: nn.Module, folder: Path) -> None:
    """Take up the weights of a finished stage where the names agree; other parameters stay fresh.

    Raises:
        InvalidInputError: the stage wrote a tensor that this module has no place for.
    """
    tensors = load_file(folder / WEIGHTS_NAME)
    unknown = module.load_state_dict(tensors, strict=False).unexpected_keys
    if unknown:
        raise InvalidInputError(f"{folder} holds weights with no place: {unknown[:3]}", reason="WEIGHTS_MISMATCH")


def _join_group() -> tuple[int, int]:
    """Rank and size of the torchrun group; (0, 1) outside of one."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return int(os.environ.get("RANK", "0")), world


def _average_gradients(module: nn.Module, world: int) -> None:
    for parameter in module.parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad.div_(world)
