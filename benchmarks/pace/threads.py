"""C7: what a second thread costs where another program keeps one of two cores busy."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pace.clips import make_clip
from pace.figures import Row, compare, in_turns
from pace.hearing import OwnHearing
from pace.sides import NUMERICS, Side
from pace.suite import Suite

CLIP_SECONDS, NUM_TOKENS = 10.0, 30
NUM_ROUNDS = 15
SETTLE_SECONDS = 0.5


def two_threads(suite: Suite) -> Iterator[Row]:
    """One thread over two, by the clock, one core being busy; 1 is a second thread that costs nothing."""
    for numerics in NUMERICS:
        own = {
            count: OwnHearing(Side(suite.checkpoint, numerics, count, backend_name="onnx"))
            for count in (1, 2)
        }
        with busy_core():
            sides = {str(count): _wall(hearing) for count, hearing in own.items()}
            spent = in_turns(sides, suite.rounds(NUM_ROUNDS))
        note = f"whole way of 10 s, onnx {numerics}: 2 threads (ours) against 1 (peer), by the clock"
        name = "C7" if numerics == "fast" else f"C7_{numerics}"
        yield Row(name, compare(spent["2"], spent["1"], "ms", 1000.0), note)


@contextmanager
def busy_core() -> Iterator[None]:
    """Another process computes inside the block, at the priority of this one."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(SETTLE_SECONDS)
        yield
    finally:
        busy.kill()
        busy.wait()


def _wall(hearing: OwnHearing) -> Callable[[], float]:
    numbers = itertools.count()

    def measure() -> float:
        clip = make_clip(CLIP_SECONDS, next(numbers))
        started = time.perf_counter()
        hearing.hear(clip, NUM_TOKENS)
        return time.perf_counter() - started

    return measure
