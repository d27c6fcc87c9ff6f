"""Runs a job in processes that are killed at random moments: `python -m tests.helpers.job_kills ARGUMENTS`.

Everything is imported once; each attempt is a fork of its own, with a model of its own, ended by SIGKILL.
Writes that won are noted in a file, so that they are counted over all attempts.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from eureka.storage.keys import JobKeys
from tests.helpers.job_rig import JobRig, WatchedStore, checkpoint_model, job_id

KEYS = JobKeys("tests", job_id())


class NotingStore(WatchedStore):
    """Notes the key of each conditional write that won, in `wins.txt` beside the store."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "store")
        self._wins = root / "wins.txt"

    def put_if_absent(self, key: str, content: bytes, **kwargs: str) -> bool:
        is_written = super().put_if_absent(key, content, **kwargs)
        if is_written:
            with self._wins.open("a") as file:
                file.write(f"{key}\n")
        return is_written


def rig_at(root: Path, checkpoint: Path) -> JobRig:
    return JobRig(NotingStore(root), checkpoint_model(checkpoint))


def start(root: Path, checkpoint: Path) -> int:
    """A fork that runs the job to its end; its process id."""
    child = os.fork()
    if child:
        return child
    try:
        state = rig_at(root, checkpoint).run(KEYS)
        os._exit(0 if state == "SUCCEEDED" else 3)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(4)


def run_whole(root: Path, checkpoint: Path) -> float:
    """Seconds of an undisturbed run."""
    started = time.monotonic()
    _, status = os.waitpid(start(root, checkpoint), 0)
    assert status == 0, status
    return time.monotonic() - started


def run_killed(root: Path, checkpoint: Path, num_kills: int, seconds: float, rng: random.Random) -> None:
    """Kill the job so many times, each after a random part of `seconds`, then let it end."""
    for _ in range(num_kills):
        child = start(root, checkpoint)
        time.sleep(rng.uniform(0.0, seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    run_whole(root, checkpoint)


def main(checkpoint: Path, undisturbed: Path, killed: list[Path], kills_each: int) -> None:
    seconds = run_whole(undisturbed, checkpoint)
    rng = random.Random(0)
    for root in killed:
        run_killed(root, checkpoint, kills_each, seconds, rng)
    print(f"{seconds:.2f}")


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[2:]]
    main(folders[0], folders[1], folders[2:], int(sys.argv[1]))
