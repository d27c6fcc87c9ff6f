import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from eureka.audio.plan import PlannedWindow, is_silent, plan_windows

SECOND = 16_000


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * SECOND))
    return (level * samples).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SECOND), np.float32)


def in_blocks(pcm: np.ndarray, size: int = 7_777) -> Iterator[np.ndarray]:
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


def plan(pcm: np.ndarray, max_seconds: float = 10) -> list[PlannedWindow]:
    """The plan, after checking what must hold for every plan."""
    windows = list(plan_windows(in_blocks(pcm), max_seconds))
    edges = [w.owned.start_sample for w in windows] + [len(pcm)]
    assert edges[:1] == [0]
    assert [w.owned.end_sample for w in windows] == edges[1:], "owned spans tile the audio"
    assert [w.index for w in windows] == list(range(len(windows)))
    for window in windows:
        assert window.owned.num_samples > 0
        assert window.heard.start_sample <= window.owned.start_sample
        assert window.heard.end_sample >= window.owned.end_sample
        if window.is_silent:
            assert window.heard == window.owned and not len(window.pcm)
            assert is_silent(pcm[window.owned.start_sample : window.owned.end_sample])
        else:
            assert window.heard.num_samples <= max_seconds * SECOND
            assert np.array_equal(window.pcm, pcm[window.heard.start_sample : window.heard.end_sample])
    return windows


def test_plan_short_file_is_one_window():
    (window,) = plan(noise(10))

    assert window.heard == window.owned and not window.is_silent


@pytest.mark.parametrize("num_samples", [1, 159, 1_600, 3_333, 160_001])
def test_plan_odd_length_is_tiled_to_the_sample(num_samples):
    plan(noise(11)[:num_samples])


def test_plan_long_file_is_cut_inside_the_pauses():
    pcm = noise(60)
    pauses = [8.0, 16.5, 25.2, 33.0, 41.9, 50.0]
    for start in pauses:
        pcm[int(start * SECOND) : int((start + 0.3) * SECOND)] *= 0.01

    windows = plan(pcm)

    for window, start in zip(windows, pauses, strict=False):
        assert start < window.owned.end_seconds < start + 0.3
        assert window.heard == window.owned, "a quiet cut needs no overlap"
    assert len(windows) == 7


def test_plan_cut_prefers_a_pause_to_a_short_dip():
    pcm = noise(14)
    pcm[int(9.0 * SECOND) : int(9.06 * SECOND)] = 0
    pcm[int(7.0 * SECOND) : int(7.25 * SECOND)] *= 0.003

    windows = plan(pcm)

    assert 7.0 < windows[0].owned.end_seconds < 7.25


def test_plan_file_without_a_pause_overlaps_at_the_cuts():
    windows = plan(noise(601))

    assert 60 < len(windows) < 100
    for before, after in pairwise(windows):
        shared = before.heard.end_sample - after.heard.start_sample
        assert shared == pytest.approx(0.6 * SECOND)


def test_plan_rest_just_too_long_gives_no_tiny_window():
    for seconds in (10.01, 11, 13, 21, 23.5):
        assert min(w.owned.num_samples for w in plan(noise(seconds))) > 3 * SECOND


def test_plan_silent_stretches_are_windows_of_their_own():
    pcm = np.concatenate([noise(3), silence(1.2), noise(2), silence(0.8), noise(2), silence(75), noise(1)])

    windows = plan(pcm)

    spans = [(w.owned.start_seconds, w.owned.end_seconds, w.is_silent) for w in windows]
    assert spans == [
        (0.0, 3.0, False),
        (3.0, 4.2, True),
        (4.2, 9.0, False),
        (9.0, 84.0, True),
        (84.0, 85.0, False),
    ]


@pytest.mark.parametrize("seconds", [0.01, 0.5, 1.0, 100.03])
def test_plan_silent_file_is_one_silent_window(seconds):
    (window,) = plan(silence(seconds))

    assert window.is_silent


def test_plan_nothing_gives_no_window():
    assert list(plan_windows([], 10)) == []
    assert list(plan_windows([silence(0)], 10)) == []


def test_plan_silence_is_judged_in_every_100_ms():
    quiet = 10 ** (-71 / 20)
    pcm = np.full(5 * SECOND, quiet, np.float32)
    assert plan(pcm)[0].is_silent

    pcm[2 * SECOND : 2 * SECOND + 1_600] = 10 ** (-69 / 20)
    windows = plan(pcm)

    assert [w.is_silent for w in windows] == [True, False, True]
    assert not is_silent(pcm)


def test_plan_soft_rain_is_heard():
    assert not any(w.is_silent for w in plan(noise(30, level=10 ** (-66 / 20))))


def test_plan_block_sizes_do_not_matter():
    pcm = np.concatenate([noise(17), silence(2), noise(8)])
    plans = [list(plan_windows(in_blocks(pcm, size), 10)) for size in (777, 16_000, len(pcm))]

    for other in plans[1:]:
        assert [(w.heard, w.owned) for w in other] == [(w.heard, w.owned) for w in plans[0]]


def test_plan_ten_minutes_without_a_pause_take_constant_memory():
    block = noise(1)

    def peak_bytes(seconds: int) -> int:
        tracemalloc.start()
        for _ in plan_windows((block for _ in range(seconds)), 10):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(600) < peak_bytes(60) + 1_000_000


def test_plan_too_short_windows_are_refused():
    with pytest.raises(ValueError, match="max_seconds"):
        list(plan_windows([noise(1)], 0.5))
