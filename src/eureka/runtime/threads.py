"""One thread an operation in libraries that would else take every core for a few microseconds of work.

OpenBLAS and OpenMP start a thread a core and let the idle ones spin. Beside other processes of the platform
that costs more than it brings: hearing 5 s of audio took 1.3 instead of 0.75 ms of processor time a token.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

QUIET_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Read by the libraries when they are loaded."""


def quiet_threads(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set them for this process, if it has no numpy yet, and for its children; what the user set stays."""
    for name, value in QUIET_THREADS.items():
        environ.setdefault(name, value)
