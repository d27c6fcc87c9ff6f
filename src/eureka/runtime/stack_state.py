"""What others know of the local stack: stack.json, the lock of its supervisor, the logs.

Whoever holds the lock is the supervisor; it is let go when that process ends, however it ends. So a
stack.json beside a free lock is left over from a supervisor that was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

from eureka.errors import WrongStateError

State = Literal["starting", "ready", "not_ready", "restarting", "stopped"]

NUM_TAIL_LINES = 20
"""Lines of a log that explain a failed start."""

_TAIL_BYTES = 16_384

_READY_POLL_SECONDS = 0.2

_NUM_LOCK_ATTEMPTS = 5
_LOCK_PAUSE_SECONDS = 0.05
"""Who only asks whether a supervisor lives holds the lock too, for microseconds."""


@dataclass(frozen=True, slots=True)
class ComponentState:
    """One line of a status.

    Attributes:
        name: of the component, model:NAME for a model process.
        pid: None where there is no process of its own.
        address: host:port of its server; None for the supervisor and workers.
        state: as the supervisor knows it, or as a health check found it.
        metrics: host:port of its metrics; None without.
    """

    name: str
    pid: int | None
    address: str | None
    state: State
    metrics: str | None = None


@dataclass(frozen=True, slots=True)
class StackState:
    """What stack.json holds.

    Attributes:
        supervisor_pid: whom to ask to stop.
        gateway: host:port that callers use.
        is_ready: a real inference has come through the gateway since the start.
        components: in the order of start.
    """

    supervisor_pid: int
    gateway: str
    is_ready: bool
    components: tuple[ComponentState, ...]

    def component(self, name: str) -> ComponentState:
        """The component of that name; KeyError without one."""
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)

    def to_json(self) -> str:
        """The text of the file."""
        plain = asdict(self)
        plain["ready"] = plain.pop("is_ready")
        return json.dumps(plain, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> StackState:
        """What `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        plain: dict[str, Any] = json.loads(text)
        components = tuple(ComponentState(**component) for component in plain["components"])
        return cls(plain["supervisor_pid"], plain["gateway"], plain["ready"], components)


class StackFolder:
    """The folder of a stack.

    Args:
        path: need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state_file = path / "stack.json"
        self.logs = path / "logs"
        self._lock_file = path / "stack.lock"

    def log_file(self, name: str) -> Path:
        """The log of a component."""
        return self.logs / f"{name}.log"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the supervisor of this folder inside the block.

        Raises:
            WrongStateError: reason STACK_RUNNING; another one is.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        with self._lock_file.open("a") as lock:
            self._take(lock)
            try:
                yield
            finally:
                self.state_file.unlink(missing_ok=True)

    def _take(self, lock: IO[str]) -> None:
        for _ in range(_NUM_LOCK_ATTEMPTS):
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE_SECONDS)
        raise WrongStateError(f"the stack of {self.path} is running already", reason="STACK_RUNNING")

    def is_locked(self) -> bool:
        """Whether a supervisor lives."""
        try:
            with self._lock_file.open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no such folder
            return False
        return False

    def write(self, state: StackState) -> None:
        """Replace stack.json in one step, so that no reader sees half of it."""
        draft = self.state_file.with_suffix(".json.new")
        draft.write_text(state.to_json(), encoding="utf-8")
        os.replace(draft, self.state_file)

    def read(self) -> StackState | None:
        """The state of the stack that runs; None without one."""
        return self.read_any() if self.is_locked() else None

    def read_any(self) -> StackState | None:
        """The state that was last written, also by a supervisor that is gone."""
        try:
            return StackState.from_json(self.state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def await_ready(self, limit_seconds: float) -> StackState | None:
        """The state once a stack that starts is up; None where it ended before, or the limit came first."""
        deadline = time.monotonic() + limit_seconds
        while self.is_locked() and time.monotonic() < deadline:
            state = self.read_any()
            if state is not None and state.is_ready and _lives(state.supervisor_pid):
                return state
            time.sleep(_READY_POLL_SECONDS)
        return None

    def start_log(self, name: str) -> None:
        """Set the log of an earlier stack aside, as NAME.log.old."""
        path = self.log_file(name)
        if path.exists():
            os.replace(path, path.with_suffix(".log.old"))

    def log_tail(self, name: str, num_lines: int = NUM_TAIL_LINES) -> list[str]:
        """The last lines of a component's log."""
        try:
            with self.log_file(name).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return []
        return text.splitlines()[-num_lines:]


def _lives(pid: int) -> bool:
    """Whether the process is there; a stack.json may be left over from one that is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
