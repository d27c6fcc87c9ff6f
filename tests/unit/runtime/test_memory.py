import platform
import subprocess
import sys

import pytest

MEASURE = """
import sys
import numpy as np
from eureka.runtime.memory import give_back_large_blocks
if sys.argv[1] == "on":
    assert give_back_large_blocks()
np.ones(16_000_000, np.uint8)  # once freed, glibc by itself puts blocks up to this size on the heap
large, small = [], []
for _ in range(100):
    large.append(np.ones(1_000_000, np.uint8))
    small.append(np.ones(500, np.uint8))
del large
print(int(open("/proc/self/statm").read().split()[1]) * 4)
"""


def resident_kib(switch: str) -> int:
    """Memory after 100 blocks of a megabyte were freed, small ones between them kept."""
    run = subprocess.run([sys.executable, "-c", MEASURE, switch], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_large_blocks_between_small_ones_are_given_back() -> None:
    assert resident_kib("on") + 50_000 < resident_kib("off")
