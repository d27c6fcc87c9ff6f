"""`python -m eureka.runtime.storage_init`: wait for the object store, make bucket and rules where asked to.

To run once before gateway and workers. The settings of the store hold: with EUREKA_STORAGE__CREATE_BUCKET a
missing bucket is made and gets its rules of expiry, without it the bucket must be there. That the server lets
the first writer win is tried as well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from eureka.errors import EurekaError, StageUnavailableError
from eureka.runtime.settings import load_settings
from eureka.runtime.settings_sections import StorageSettings
from eureka.runtime.storage import open_store

PAUSE_SECONDS = 1.0
"""Between two attempts; each of them waits for some seconds by itself."""


def wait_for_store(
    settings: StorageSettings, seconds: float, now: Callable[[], float] = time.monotonic
) -> None:
    """Open the store; where it is away, again and again for `seconds`.

    Raises:
        StageUnavailableError: reason STORE_UNAVAILABLE; it stayed away.
        EurekaError: as `open_store`; waiting would not mend it.
    """
    until = now() + seconds
    while True:
        try:
            open_store(settings)
            return
        except StageUnavailableError:
            if now() >= until:
                raise
        time.sleep(PAUSE_SECONDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m eureka.runtime.storage_init", description=__doc__)
    parser.add_argument(
        "--wait", type=float, default=120.0, metavar="SECONDS", help="for the store to answer"
    )
    given = parser.parse_args(arguments)
    try:
        settings = load_settings().storage
        wait_for_store(settings, given.wait)
    except EurekaError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    print(f"the store is there: {settings.kind} {settings.endpoint or settings.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
