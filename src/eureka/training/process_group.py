"""The training processes of one run: alone, or started together by torchrun on one or more machines.

Each process has a device of its own where there are GPUs; without any, all compute on the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

_LONGEST_WAIT = timedelta(hours=4)
"""How long a process waits for another one; the first process makes data and caches alone."""


def training_device() -> torch.device:
    """The device of this process: the GPU of its local rank, or the CPU where there is none."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def tensor_on(array: NDArray[Any], device: torch.device) -> Tensor:
    """The values of an array on a device; shared with the array where that is the CPU."""
    return torch.from_numpy(array).to(device)


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process among those that train together.

    Attributes:
        rank: number of this process; process 0 writes files and curves.
        world: number of processes.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def join(cls) -> ProcessGroup:
        """Join the group that torchrun's environment names; alone outside of one."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world > 1 and not dist.is_initialized():
            device = training_device()
            if device.type == "cuda":
                torch.cuda.set_device(device)
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_LONGEST_WAIT)
        return cls(int(os.environ.get("RANK", "0")), world)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and curves."""
        return self.rank == 0

    def first_does(self, work: Callable[[], object]) -> None:
        """Let the first process work while the others wait for it."""
        if self.is_first:
            work()
        self.wait()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            dist.barrier()

    def average_gradients(self, module: nn.Module) -> None:
        """Replace each gradient by its mean over the processes; one message for all of them."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.flatten().float() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def value_of_first(self, value: float) -> float:
        """The first process's value, so that all take the same decision."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=training_device())
        dist.broadcast(shared, 0)
        return float(shared)
