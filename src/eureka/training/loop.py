"""The training loop that every stage shares: update, average, save, resume, curves.

A stage gives a `Trainer`; the loop asks it for batches and losses and knows nothing of tasks. Under
torchrun each process takes every world_size-th batch and gradients are averaged.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from eureka.errors import InvalidInputError, NotFoundError
from eureka.training.batch_stream import BatchMaker, BatchStream
from eureka.training.optimizer import MixedOptimizer
from eureka.training.process_group import ProcessGroup
from eureka.training.recipe import Recipe
from eureka.training.run_state import RunFolder, WeightAverage, save_whole
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
    """Runs one stage to its end, from wherever its folder says.

    Args:
        recipe: length, rates and folders of the stage.
        trainer: model, batches and losses of the stage.
        group: processes that train together; those of torchrun when None.
    """

    def __init__(self, recipe: Recipe, trainer: Trainer, group: ProcessGroup | None = None) -> None:
        self.recipe, self.trainer = recipe, trainer
        self.group = group or ProcessGroup.join()
        self.run = RunFolder(recipe.folder)
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
        self.group.first_does(self._finish)

    def _train_until_batches_change(self) -> None:
        self.trainer.before_step(self.progress.share)
        world = self.group.world
        start = self.progress.step * self.recipe.batch.accumulate * world + self.group.rank
        workers = self.recipe.data.num_workers
        with BatchStream(self.trainer.batches(), start, workers, stride=world) as stream:
            batches = iter(stream)
            while not self.progress.is_done:
                self._update(batches)
                if self.trainer.before_step(self.progress.share):
                    self._save()
                    return

    def _update(self, batches: Iterator[Any]) -> None:
        self.optimizer.zero_grad()
        for _ in range(self.recipe.batch.accumulate):
            loss, figures = self.trainer.losses(next(batches))
            (loss / self.recipe.batch.accumulate).backward()
            for name, value in figures.items():
                self._sums[name] += value
                self._sums["count " + name] += 1
        self.group.average_gradients(self.trainer.module)
        self._sums["gradient_norm"] += self.optimizer.step(self.progress.rate)
        self._sums["count gradient_norm"] += 1
        if self.average is not None:
            self.average.update(self.optimizer.masters())
        self.progress.tick()
        # A stage bound by time must end, and align, at the same step everywhere.
        self.progress.elapsed_seconds = self.group.value_of_first(self.progress.elapsed_seconds)
        self._report()

    def _report(self) -> None:
        if self.progress.step % _LOG_EVERY == 0 and self.group.is_first:
            names = [n for n in self._sums if not n.startswith("count ")]
            figures = {n: self._sums[n] / self._sums["count " + n] for n in names}
            figures |= {"rate": self.progress.rate, "minutes": self.progress.elapsed_seconds / 60}
            self.run.log(self.progress.step, figures)
            self._sums.clear()
        if time.monotonic() - self._saved_at > self.recipe.save_minutes * 60:
            self._save()

    def _save(self) -> None:
        if self.group.is_first:
            if self.average is not None:
                self.average.save(self.run.folder, self.progress.step)
            self.run.save(self.optimizer, self.progress, {"trainer": self.trainer.state()})
        self._saved_at = time.monotonic()

    def _finish(self) -> None:
        self._save()
        self._write_weights()
        self.run.finish({"steps": self.progress.step, "seconds": round(self.progress.elapsed_seconds, 1)})

    @torch.no_grad()
    def _write_weights(self) -> None:
        values = self.optimizer.masters() | (self.average.values if self.average is not None else {})
        tensors = {n: t.detach().float().contiguous() for n, t in self.trainer.module.state_dict().items()}
        tensors |= {n: t.contiguous() for n, t in values.items()}
        save_whole(tensors, self.run.folder / WEIGHTS_NAME)


def take_up_weights(module: nn.Module, folder: Path, leave_out: Collection[str] = ()) -> list[str]:
    """Take up the weights of a finished stage where the names agree; other parameters stay fresh.

    Args:
        module: takes them up.
        folder: of the finished stage.
        leave_out: first parts of the names of weights that this module need not have.

    Returns:
        Names that the stage did not write.

    Raises:
        NotFoundError: the stage has not run.
        InvalidInputError: it wrote a tensor that this module has no place for.
    """
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise NotFoundError(f"no {path}: run the stage {folder.name} first")
    stored = {name: tensor for name, tensor in load_file(path).items() if name.split(".")[0] not in leave_out}
    fit = module.load_state_dict(stored, strict=False)
    if fit.unexpected_keys:
        message = f"{folder} holds weights with no place: {fit.unexpected_keys[:3]}"
        raise InvalidInputError(message, reason="WEIGHTS_MISMATCH")
    return list(fit.missing_keys)
