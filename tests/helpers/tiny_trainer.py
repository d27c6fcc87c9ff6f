"""A trainer of two small layers over numbered batches, for tests of the loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from eureka.training.batch_stream import BatchMaker
from eureka.training.loop import TrainingLoop
from eureka.training.process_group import ProcessGroup
from eureka.training.recipe import BatchConfig, DataConfig, Recipe
from eureka.training.schedule import ScheduleConfig
from tests.helpers.numbered_batches import NumberedBatches


class TinyNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.head = nn.Linear(8, 6)

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(self.body(rows)))
        return out


class TinyTrainer:
    """Learns to give its input back; at half of the stage its batches change."""

    def __init__(self, seed: int = 0, joined: int = 1, dies_at: int = -1) -> None:
        torch.manual_seed(seed)
        self.module: nn.Module = TinyNet()
        self.phase, self._joined = 0, joined
        self._dies_at, self.seen = dies_at, 0

    def rate_of(self, name: str) -> float:
        return 0.5 if name.startswith("head") else 1.0

    def batches(self) -> Callable[[], BatchMaker]:
        return partial(NumberedBatches, self.phase, self._joined)

    def losses(self, batch: np.ndarray) -> tuple[Tensor, dict[str, float]]:
        if self.seen == self._dies_at:
            raise KeyboardInterrupt
        self.seen += 1
        rows = torch.from_numpy(batch)
        loss = (self.module(rows) - rows).square().mean()
        return loss, {"loss": loss.item()}

    def before_step(self, share: float) -> bool:
        is_due = share >= 0.5 and self.phase == 0
        self.phase = max(self.phase, int(is_due))
        return is_due

    def state(self) -> dict[str, Any]:
        return {"phase": self.phase}

    def resume(self, state: dict[str, Any]) -> None:
        self.phase = int(state["phase"])


def tiny_recipe(folder: Path, steps: int = 6, accumulate: int = 1, **changes: Any) -> Recipe:
    """A stage that saves after every step and makes its batches in this process."""
    schedule = ScheduleConfig(steps=steps, warmup_steps=2, decay_from=0.5)
    fields: dict[str, Any] = {"save_minutes": 0.0, "average": 0.9, "data": DataConfig(num_workers=0)}
    fields |= {"schedule": schedule, "batch": BatchConfig(accumulate=accumulate)} | changes
    return Recipe(stage="encoder", name="tiny", run_folder=str(folder), **fields)


def train_as_member(folder: Path) -> None:
    """Run the stage as one process of the group that the environment names."""
    TrainingLoop(tiny_recipe(folder), TinyTrainer(), ProcessGroup.join()).train()
