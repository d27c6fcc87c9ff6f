import platform
import subprocess
import sys

import pytest

MEASURE = """
import resource, sys
import numpy as np
from eureka.runtime.memory import give_back_large_blocks
if sys.argv[1] == "on":
    assert give_back_large_blocks()
rng = np.random.default_rng(0)
kept = []
for _ in range(3000):
    large = np.ones(int(rng.integers(100_000, 4_000_000)), np.uint8)
    kept.append(np.ones(int(rng.integers(100, 2_000)), np.uint8))
    del large
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measured(switch: str) -> int:
    run = subprocess.run([sys.executable, "-c", MEASURE, switch], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_heap_with_large_blocks_apart_is_no_larger() -> None:
    assert measured("on") <= measured("off") + 1024  # KiB
