from __future__ import annotations

import numpy as np
import pytest

from eureka.evaluation.counts import ClassTally, label_counts, one, paired_change


def macro_f1(pairs):
    """Slow and obvious: F1 of each class that occurs on either side, then the mean."""
    classes = {name for pair in pairs for name in pair if name is not None}
    scores = []
    for name in classes:
        hits = sum(truth == answer == name for truth, answer in pairs)
        scores.append(2 * hits / (sum(t == name for t, _ in pairs) + sum(a == name for _, a in pairs)))
    return sum(scores) / len(scores)


def test_ratio_of_sums_is_not_the_mean_of_ratios():
    assert ClassTally.of([one(1, 1), one(1, 9)]).value == pytest.approx(0.2)


def test_macro_f1_agrees_with_the_slow_rule():
    draw = np.random.default_rng(0)
    names = ["angry", "calm", "happy", None]
    pairs = [(names[draw.integers(3)], names[draw.integers(4)]) for _ in range(60)]
    assert ClassTally.of([label_counts(*pair) for pair in pairs]).value == pytest.approx(macro_f1(pairs))


def test_interval_holds_the_value_narrows_and_is_the_same_twice():
    few, many = (ClassTally.of([one(n % 4 == 0) for n in range(size)]) for size in (40, 4_000))
    for tally in (few, many):
        low, high = tally.interval()
        assert low <= tally.value == 0.25 <= high
        assert tally.interval() == (low, high)
    assert np.ptp(many.interval()) < np.ptp(few.interval()) / 5


def test_tally_without_items_is_no_number():
    tally = ClassTally.of([])
    assert np.isnan([tally.value, *tally.interval()]).all()


def test_run_paired_with_itself_shows_no_change():
    run = {str(n): one(n % 3 == 0) for n in range(50)}
    change = paired_change(run, run)
    assert (change.change, change.interval, change.num_changed, change.num_items) == (0, (0, 0), 0, 50)
    assert not change.is_difference


def test_pairing_sees_a_small_change_that_intervals_of_their_own_hide():
    before = {str(n): one(n % 2 == 0) for n in range(400)}
    after = before | {str(n): one(1) for n in range(1, 400, 40)}
    change = paired_change(before, after)
    low, high = ClassTally.of(list(before.values())).interval()
    assert low < change.after < high
    assert change.is_difference and change.num_changed == 10
    assert change.change == pytest.approx(0.025)


def test_pairing_leaves_out_what_only_one_run_has():
    change = paired_change({"a": one(1), "b": one(0)}, {"b": one(0), "c": one(1)})
    assert (change.num_items, change.before, change.after) == (1, 0.0, 0.0)
