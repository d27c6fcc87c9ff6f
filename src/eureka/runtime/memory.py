"""Keeps the heap of a long-running process from growing by fragments."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""Numbers of glibc's mallopt; naming either switches off their growth at run time."""

LARGE_BYTES = 65_536
"""Blocks from this size on are mapped apart and given back when freed.

Windows differ in length, so their tensors differ in size: on the heap they leave holes, some 90 MiB over an
hour of audio. Apart they leave none, for about a seventh more time.
"""


def give_back_large_blocks() -> bool:
    """Let the C library give large blocks back at once; False where it has no such option."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) and mallopt(_M_TRIM_THRESHOLD, LARGE_BYTES))
