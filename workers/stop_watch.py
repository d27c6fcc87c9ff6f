"""Ends calls whose job was stopped meanwhile: a long answer would hold a slot of the engine to its end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from eureka.errors import EurekaError
from eureka.jobs.job_store import JobStore, WindowRef

logger = logging.getLogger(f"eureka.{__name__}")

LOOK_SECONDS = 1.0
"""Between two looks at the jobs of running windows; with the look itself, a cancel counts within 2 s."""


class Call(Protocol):
    """What is ended."""

    def cancel(self) -> None:
        """End the call; from any thread."""


class StopWatch:
    """Watches the windows that one worker hears; a thread that runs only while there are some.

    Args:
        jobs: documents of jobs.
        look_seconds: between two looks.
    """

    def __init__(self, jobs: JobStore, look_seconds: float = LOOK_SECONDS) -> None:
        self._jobs = jobs
        self._look_seconds = look_seconds
        self._lock = threading.Lock()
        self._calls: dict[object, tuple[WindowRef, Call]] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, ref: WindowRef, call: Call) -> Iterator[None]:
        """End the call as soon as the window's job is cancelled, deleted or gone."""
        place = object()
        with self._lock:
            self._calls[place] = ref, call
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="stop-watch", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._calls[place]

    def _run(self) -> None:
        while True:
            time.sleep(self._look_seconds)
            with self._lock:
                watched = list(self._calls.values())
                if not watched:
                    self._thread = None
                    return
            for ref, call in watched:
                if self._is_stopped(ref):
                    call.cancel()

    def _is_stopped(self, ref: WindowRef) -> bool:
        try:
            return self._jobs.is_stopped(ref.keys, ref.round_number)
        except EurekaError as error:  # the next look may be luckier
            logger.warning("stop_look_failed", extra={"job_id": ref.keys.job_id, "reason": error.reason})
            return False
