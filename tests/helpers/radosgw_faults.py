"""A radosgw that goes away and comes back, and what its log says of the writes that it took."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import psutil

END_SECONDS = 30.0

_TAKEN_PUT = re.compile(r'beast: .* "PUT (/[^ ?"]+)[^"]*" 200 ')
"""A line of the log about a write that was done."""


def end_gateway(folder: Path) -> list[str]:
    """End radosgw alone, in order, so that its log tells of every request; the command that starts it again.

    What is stored stays: it lies with the other daemons.
    """
    process = psutil.Process(int((folder / "client.rgw.pid").read_text()))
    command = process.cmdline()
    process.terminate()
    psutil.wait_procs([process], END_SECONDS)
    if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        raise TimeoutError(f"radosgw did not end in {END_SECONDS:.0f} s")
    return command


def run_gateway(command: list[str]) -> None:
    """Start it again; the program returns when its daemon listens."""
    subprocess.run(command, check=True, capture_output=True, timeout=END_SECONDS)


def put_counts(folder: Path) -> Counter[str]:
    """Path of each object -> PUTs of it that the server took."""
    with (folder / "client.rgw.log").open(encoding="utf-8", errors="replace") as log:
        return Counter(found[1] for line in log if (found := _TAKEN_PUT.search(line)))
