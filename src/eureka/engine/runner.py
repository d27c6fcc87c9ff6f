"""EngineRunner: the thread that takes an engine's steps."""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from eureka.engine.engine import Engine
from eureka.types import Ending

_log = logging.getLogger(__name__)

_IDLE_WAIT_SECONDS = 0.5
"""How long the idle thread sleeps at most; new work wakes it at once."""


class EngineRunner:
    """Drives an engine from one thread while it is entered as a context.

    Leaving the context ends what still waits or runs with CANCELLED. Should a step itself fail, all
    requests at hand end with ERROR and the thread goes on.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def __enter__(self) -> EngineRunner:
        self.engine.drive_by_runner(True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self.engine.wake()
        self._thread.join()
        self.engine.drive_by_runner(False)
        self.engine.end_all(Ending.CANCELLED)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.engine.wait_for_work(_IDLE_WAIT_SECONDS)
            try:
                self.engine.step()
            except Exception:
                _log.exception("engine_step_failed")
                self.engine.end_all(Ending.ERROR)
