from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from eureka.errors import InvalidInputError
from eureka.training.buckets import BatchPlan, BucketSampler

LENGTHS = {
    "speech": np.array([10, 20, 30, 40, 80, 81]),
    "sounds": np.array([40, 41, 79]),
    "idle": np.array([8]),
}
BUCKETS = (20, 40, 80)


def _plans(ratios: dict[str, float], count: int, rows: int = 160, seed: int = 0) -> list[BatchPlan]:
    sampler = BucketSampler(LENGTHS, ratios, BUCKETS, rows)
    rng = np.random.default_rng(seed)
    return [sampler.plan(rng) for _ in range(count)]


def test_bucket_plans_have_a_fixed_size_for_each_length() -> None:
    shapes = {(plan.length, len(plan.draws)) for plan in _plans({"speech": 1, "sounds": 1}, 200)}
    assert shapes == {(20, 8), (40, 4), (80, 2)}


def test_bucket_plans_hold_the_clips_that_fit_this_bucket_and_no_smaller_one() -> None:
    smaller = {20: 0, 40: 20, 80: 40}
    seen = set()
    for plan in _plans({"speech": 1, "sounds": 1}, 300):
        for draw in plan.draws:
            length = LENGTHS[draw.kind][draw.clip]
            assert smaller[plan.length] < length <= plan.length
            seen.add((draw.kind, draw.clip))
    everything = {(kind, n) for kind in ("speech", "sounds") for n in range(len(LENGTHS[kind]))}
    assert seen == everything - {("speech", 5)}  # longer than every bucket


def test_bucket_plans_mix_kinds_by_ratio() -> None:
    counts = Counter(
        d.kind for plan in _plans({"speech": 3, "sounds": 1, "idle": 0}, 4000) for d in plan.draws
    )
    assert set(counts) == {"speech", "sounds"}
    assert counts["speech"] / counts.total() == pytest.approx(0.75, abs=0.02)


def test_bucket_plans_draw_clips_of_a_kind_evenly() -> None:
    counts = Counter(d.clip for plan in _plans({"speech": 1}, 4000) for d in plan.draws)
    shares = np.array([counts[n] for n in range(5)]) / counts.total()
    np.testing.assert_allclose(shares, 0.2, atol=0.02)


def test_bucket_plans_of_the_same_seed_are_the_same() -> None:
    ratios = {"speech": 1.0, "sounds": 0.5}
    assert _plans(ratios, 20, seed=3) == _plans(ratios, 20, seed=3)
    assert _plans(ratios, 20, seed=3) != _plans(ratios, 20, seed=4)


def test_bucket_plan_smaller_than_one_clip_holds_one() -> None:
    assert all(len(plan.draws) == max(1, 30 // plan.length) for plan in _plans({"speech": 1}, 50, rows=30))


def test_bucket_sampler_of_a_kind_without_clips_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="birds"):
        BucketSampler(LENGTHS, {"speech": 1, "birds": 1}, BUCKETS, 160)


def test_bucket_sampler_where_nothing_fits_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no clip fits"):
        BucketSampler({"speech": [100]}, {"speech": 1}, BUCKETS, 160)
