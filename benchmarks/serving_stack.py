"""A local stack of its own for `serving.py`: free ports, a temporary state folder, gone at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from eureka.cli.stack_commands import stop_stack
from eureka.runtime.stack_run import start_detached
from eureka.runtime.stack_state import StackFolder, StackState
from eureka.runtime.triton import model_processes

PORTS = (
    *("GATEWAY__PORT", "ENCODER__PORT", "ADAPTER__PORT", "DECODER__PORT"),
    *("TRITON__HTTP_PORT", "TRITON__GRPC_PORT", "TRITON__METRICS_PORT"),
)

_STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A stack that is up.

    Attributes:
        state: addresses and processes.
    """

    state: StackState

    def address(self, name: str) -> str:
        """host:port of a component's gRPC server."""
        return str(self.state.component(name).address)

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time that each process has taken since its start."""
        return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in self.pids().items()}

    def pids(self) -> dict[str, int]:
        """Processes by the name of their component; models as model:NAME."""
        pids = {one.name: one.pid for one in self.state.components if one.pid is not None}
        models = {f"model:{one.model}": one.pid for one in model_processes(pids["triton"])}
        return {**pids, **models}


@contextmanager
def running_stack(checkpoint: Path, num_slots: int, **settings: str) -> Iterator[RunningStack]:
    """A stack that is up inside the block.

    Args:
        checkpoint: folder.
        num_slots: requests decoded at a time.
        settings: further ones, without EUREKA_.

    Raises:
        EurekaError: no stack can run here, or it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="eureka-bench-") as scratch:
        folder = StackFolder(Path(scratch) / "state")
        own = {
            **dict.fromkeys(PORTS, "0"),
            "CHECKPOINT": str(checkpoint.resolve()),
            "STACK__FOLDER": str(folder.path),
            "STACK__WORKERS": "0",
            "GATEWAY__UPLOAD_FOLDER": str(Path(scratch) / "uploads"),
            "TRITON__NUM_SLOTS": str(num_slots),
            **settings,
        }
        try:
            start_detached(folder, None, {f"EUREKA_{name}": value for name, value in own.items()})
            state = folder.read()
            assert state is not None, "the stack ended as soon as it was up"
            yield RunningStack(state)
        finally:
            stop_stack(folder, _STOP_SECONDS)
