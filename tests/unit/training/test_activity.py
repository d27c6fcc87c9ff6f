from __future__ import annotations

import numpy as np
import pytest

from eureka.training.activity import active_parts, frame_power, mean_power, merge_parts


def _bursts(*spans: tuple[int, int], level: float = 1.0, floor: float = -6.0) -> np.ndarray:
    raw = np.full((400, 80), floor, np.float32)
    for start, end in spans:
        raw[start:end] = level
    return raw


def test_active_parts_of_bursts_are_their_times() -> None:
    assert active_parts(_bursts((50, 100), (200, 300))) == ((0.5, 1.0), (2.0, 3.0))


def test_active_parts_of_a_stationary_sound_are_one_part() -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(-1.0, 0.2, (300, 80)).astype(np.float32)
    assert active_parts(raw) == ((0.0, 3.0),)


def test_active_parts_bridge_a_short_gap_and_drop_a_click() -> None:
    assert active_parts(_bursts((50, 100), (110, 150), (300, 303))) == ((0.5, 1.5),)


def test_active_parts_of_a_click_alone_keep_it() -> None:
    assert active_parts(_bursts((10, 14))[:40]) == ((0.1, 0.14),)


def test_active_parts_without_frames_are_none() -> None:
    assert active_parts(np.zeros((0, 80), np.float32)) == ()


def test_frame_power_equals_the_sum_of_powers() -> None:
    raw = np.random.default_rng(0).normal(-2, 1, (7, 80)).astype(np.float16)
    expected = (10.0 ** raw.astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(frame_power(raw), expected, rtol=1e-4)
    assert mean_power(raw) == pytest.approx(expected.mean(), rel=1e-4)


def test_merge_parts_out_of_order_and_nested_joins_them() -> None:
    assert merge_parts([(2.0, 3.0), (0.0, 1.0), (0.2, 0.5), (3.4, 4.0)], 0.5) == ((0.0, 1.0), (2.0, 4.0))
