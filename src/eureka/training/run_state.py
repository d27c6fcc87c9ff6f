"""The folder of a training run: resumable state, curves to JSONL and TensorBoard.

State files hold tensors by safetensors and numbers by JSON; nothing is pickled. A save is written
beside the old one and renamed, so a kill at any time leaves a whole state.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from eureka.training.optimizer import MixedOptimizer
from eureka.training.schedule import Progress


class RunFolder:
    """One stage's folder: `state.safetensors`, `state.json`, `curves.jsonl`, `events/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._writer: Any = None

    @property
    def is_finished(self) -> bool:
        """Whether the stage ran to its end."""
        return (self.folder / "finished.json").exists()

    def finish(self, summary: dict[str, Any]) -> None:
        """Mark the stage as done and close the curves."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        _write_whole(self.folder / "finished.json", json.dumps(summary, indent=1))

    def save(self, optimizer: MixedOptimizer, progress: Progress, extra: dict[str, Any]) -> None:
        """Write the whole state; the JSON part names the tensor file, so both change at once."""
        state = optimizer.state_dict()
        name = f"state-{progress.step}.safetensors"
        save_whole(_flat(state["slots"]), self.folder / name)
        plain = {
            "tensors": name,
            "num_updates": state["num_updates"],
            "step": progress.step,
            "elapsed_seconds": progress.elapsed_seconds,
            "extra": extra,
        }
        _write_whole(self.folder / "state.json", json.dumps(plain))
        for old in self.folder.glob("state-*.safetensors"):
            if old.name != name:
                old.unlink()

    def resume(self, optimizer: MixedOptimizer, progress: Progress) -> dict[str, Any] | None:
        """Take up the saved state; returns its extra part, or None where nothing was saved."""
        path = self.folder / "state.json"
        if not path.exists():
            return None
        plain = json.loads(path.read_text())
        slots: dict[str, dict[str, Tensor]] = {}
        for key, tensor in load_file(self.folder / plain["tensors"]).items():
            name, part = key.rsplit("|", 1)
            slots.setdefault(name, {})[part] = tensor
        optimizer.load_state_dict({"num_updates": plain["num_updates"], "slots": slots})
        progress.resume(plain["step"], plain["elapsed_seconds"])
        extra: dict[str, Any] = plain["extra"]
        return extra

    def log(self, step: int, values: dict[str, float]) -> None:
        """Append one point of the curves, and print it."""
        row = {"step": step, "time": round(time.time(), 1)} | {k: round(v, 5) for k, v in values.items()}
        with (self.folder / "curves.jsonl").open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
        for name, value in values.items():
            self._board().add_scalar(name, value, step)

    def _board(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder / "events"))
        return self._writer


class WeightAverage:
    """Exponential moving average of the masters (EMA), kept in fp32.

    The decay warms up as (1 + n) / (10 + n), so that early values are forgotten.
    """

    def __init__(self, masters: dict[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.values = {name: tensor.clone() for name, tensor in masters.items()}
        self._count = 0
        self._kept = -1  # step of the save before: a kill between two files must find its pair

    @torch.no_grad()
    def update(self, masters: dict[str, Tensor]) -> None:
        """Take in the masters after one update."""
        self._count += 1
        decay = min(self.decay, (1 + self._count) / (10 + self._count))
        for name, tensor in masters.items():
            self.values[name].lerp_(tensor, 1 - decay)

    def save(self, folder: Path, step: int) -> None:
        """Keep the average of this step; older ones go."""
        path = folder / f"average-{step}.safetensors"
        save_whole(self.values | {"count": torch.tensor(self._count)}, path)
        for old in folder.glob("average-*.safetensors"):
            if old != path and old.name != f"average-{self._kept}.safetensors":
                old.unlink()
        self._kept = step

    def load(self, folder: Path, step: int) -> None:
        """Take up the average that was kept at this step."""
        tensors = load_file(folder / f"average-{step}.safetensors")
        self._count = int(tensors.pop("count"))
        for name, tensor in tensors.items():
            self.values[name].copy_(tensor)
        self._kept = step


def save_whole(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file beside its place and rename it, so that no half file ever stands there."""
    beside = path.with_suffix(path.suffix + ".new")
    save_file(tensors, beside)
    beside.replace(path)


def _flat(slots: dict[str, dict[str, Tensor | None]]) -> dict[str, Tensor]:
    return {
        f"{name}|{part}": tensor.contiguous()
        for name, parts in slots.items()
        for part, tensor in parts.items()
        if tensor is not None
    }


def _write_whole(path: Path, text: str) -> None:
    beside = path.with_suffix(path.suffix + ".new")
    with beside.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(path)
