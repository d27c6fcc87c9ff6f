"""Becomes another program that is told to end when the process that started it dies.

Used as `python -m eureka.runtime.exec_with_parent PARENT_PID PROGRAM ARGUMENT...`; Linux only. A function
between fork and exec would do the same, but it is not safe beside threads and gRPC.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


def main(arguments: list[str]) -> None:
    """Ask for SIGTERM at the parent's death and become the program."""
    parent, program = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the request was made
        sys.exit(1)
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
