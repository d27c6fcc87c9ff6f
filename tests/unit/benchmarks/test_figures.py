"""Arithmetic of the benchmarks' figures, on numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pace.figures import (
    Row,
    Skipped,
    Value,
    compare,
    compare_quantiles,
    in_turns,
    middle,
    paired_interval,
    quantile,
    rounded,
)


def test_in_turns_turns_the_order_round_and_drops_warm_up() -> None:
    calls: list[str] = []
    values = iter(range(100))

    def side(name: str) -> float:
        calls.append(name)
        return float(next(values))

    spent = in_turns({"a": lambda: side("a"), "b": lambda: side("b")}, num_rounds=2, num_warm_up=1)

    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert spent == {"a": [3.0, 4.0], "b": [2.0, 5.0]}


def test_compare_gives_medians_spread_and_best_of() -> None:
    ratio = compare(ours=[0.001, 0.002, 0.004], peer=[0.010, 0.010, 0.020], unit="ms", scale=1000.0)

    assert ratio.ratio == 5.0  # of 10, 5 and 5
    assert (ratio.ours, ratio.peer, ratio.unit) == (2.0, 10.0, "ms")
    assert ratio.spread == (5.0, 10.0)
    assert ratio.best == (10.0, 1.0, 10.0)
    assert ratio.num_rounds == 3


def test_compare_is_not_moved_by_one_disturbed_round() -> None:
    assert compare([1.0, 1.0, 50.0], [4.0, 4.0, 4.0], "s").ratio == 4.0


def test_compare_refuses_rounds_that_do_not_pair() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare([1.0, 2.0], [1.0], "s")


def test_goal_holds_five_fields_for_a_ratio_and_three_for_a_value() -> None:
    assert set(compare([1.0], [2.0], "s").to_goal()) == {"ratio", "ours", "peer", "unit", "spread"}
    assert Value(1.5, "s", 5.0, (1.0, 2.0)).to_goal() == {"value": 1.5, "unit": "s", "limit": 5.0}


def test_row_of_a_skipped_figure_says_why() -> None:
    assert Row("C2", Skipped("no compiler")).to_dict() == {"name": "C2", "skipped": "no compiler", "note": ""}


def test_middle_scales_and_keeps_the_ends() -> None:
    assert middle([0.003, 0.001, 0.002], "ms", 1000.0, limit=5.0) == Value(2.0, "ms", 5.0, (1.0, 3.0))


def test_quantile_agrees_with_a_sorted_list() -> None:
    values = np.random.default_rng(0).permutation(101).tolist()
    assert quantile(values, 0.99) == sorted(values)[99]


def test_compare_quantiles_of_a_doubled_side_is_two_inside_its_interval() -> None:
    values = np.random.default_rng(0).uniform(1.0, 2.0, size=400)
    ratio = compare_quantiles((2 * values).tolist(), values.tolist(), 0.99, "ms")

    assert ratio.ratio == pytest.approx(2.0)
    assert ratio.spread[0] <= 2.0 <= ratio.spread[1]
    assert ratio.unit == "ms, p99"


def test_paired_interval_of_equal_sides_is_nothing() -> None:
    errors, words = [1.0, 0.0, 2.0], [3.0, 4.0, 5.0]
    assert paired_interval(errors, errors, words) == (0.0, 0.0, 0.0)


def test_paired_interval_agrees_with_resampling_written_out() -> None:
    draw = np.random.default_rng(1)
    words = draw.integers(1, 9, size=60).astype(float)
    before = draw.integers(0, 4, size=60).astype(float)
    after = before + (draw.random(60) < 0.1)

    value, low, high = paired_interval(before.tolist(), after.tolist(), words.tolist())

    own = np.random.default_rng(2)
    rates = []
    for _ in range(2_000):
        drawn = own.integers(60, size=60)
        rates.append(after[drawn].sum() / words[drawn].sum() - before[drawn].sum() / words[drawn].sum())
    assert value == pytest.approx((after - before).sum() / words.sum())
    assert (low, high) == pytest.approx(tuple(np.quantile(rates, (0.025, 0.975))), abs=0.005)


def test_paired_interval_is_narrower_than_that_of_unpaired_sides() -> None:
    draw = np.random.default_rng(3)
    words, before = np.full(200, 5.0), draw.integers(0, 6, size=200).astype(float)
    after = before.copy()
    after[:2] += 1
    _, low, high = paired_interval(before.tolist(), after.tolist(), words.tolist())
    _, wide_low, wide_high = paired_interval(
        before.tolist(), draw.permutation(after).tolist(), words.tolist()
    )
    assert high - low < (wide_high - wide_low) / 4


def test_rounded_keeps_four_digits_that_count() -> None:
    assert [rounded(v) for v in (0.00123456, 12.3456, 12345.6)] == [0.001235, 12.35, 12350.0]
