from __future__ import annotations

import os

import numpy as np
import pytest

from eureka.storage.range_reader import MAX_BLOCKS, RangeReader, buffered

CONTENT = bytes(range(256)) * 20


class _Ranges:
    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def fetch(self, start: int, num_bytes: int) -> bytes:
        self.asked.append((start, num_bytes))
        return CONTENT[start : start + num_bytes]


def test_any_walk_reads_what_a_slice_gives() -> None:
    ranges = _Ranges()
    random = np.random.default_rng(1)
    with buffered(RangeReader(ranges.fetch, len(CONTENT), 97)) as reader:
        for _ in range(500):
            start, count = int(random.integers(0, len(CONTENT) + 50)), int(random.integers(0, 700))
            reader.seek(start)
            assert reader.read(count) == CONTENT[start : start + count]
    assert all(0 < count <= 97 and start + count <= len(CONTENT) for start, count in ranges.asked)


def test_reading_in_order_fetches_each_block_once() -> None:
    ranges = _Ranges()
    with buffered(RangeReader(ranges.fetch, len(CONTENT), 100)) as reader:
        while reader.read(7):
            pass
    assert [start for start, _ in ranges.asked] == list(range(0, len(CONTENT), 100))


def test_hopping_between_few_places_fetches_nothing_anew() -> None:
    ranges = _Ranges()
    reader = RangeReader(ranges.fetch, len(CONTENT), 100)
    for _ in range(10):
        for block in range(MAX_BLOCKS):
            reader.seek(block * 1_000)
            reader.read(10)
    assert len(ranges.asked) == MAX_BLOCKS


def test_failed_fetch_reaches_the_reader_and_can_be_tried_again() -> None:
    failing = [True]

    def fetch(start: int, num_bytes: int) -> bytes:
        if failing[0]:
            raise RuntimeError("away")
        return CONTENT[start : start + num_bytes]

    reader = RangeReader(fetch, len(CONTENT))
    with pytest.raises(RuntimeError):
        reader.read(5)
    failing[0] = False
    assert reader.read(5) == CONTENT[:5]


@pytest.mark.parametrize(("offset", "whence"), [(-1, os.SEEK_SET), (-5_121, os.SEEK_END), (0, 9)])
def test_seek_to_nowhere_is_refused(offset: int, whence: int) -> None:
    with pytest.raises(ValueError, match="cannot seek"):
        RangeReader(_Ranges().fetch, len(CONTENT)).seek(offset, whence)
