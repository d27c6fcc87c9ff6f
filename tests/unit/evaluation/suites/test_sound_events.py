"""Event scores against cases worked out by hand from sed_eval's definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from eureka.evaluation.counts import ClassTally
from eureka.evaluation.metrics import TimedEvent
from eureka.evaluation.suites.sound_events import event_counts, fits, matched_events, tag_counts


def events(*rows):
    return [TimedEvent(*row) for row in rows]


@pytest.mark.parametrize(
    ("found", "is_right"),
    [
        (("dog", 1.0, 2.0), True),
        (("dog", 1.2, 2.2), True),  # both just within 0.2 s
        (("dog", 0.79, 2.0), False),  # onset 0.21 s early
        (("dog", 1.0, 2.21), False),  # offset: 20 % of one second are 0.2 s
        (("cat", 1.0, 2.0), False),
    ],
)
def test_short_event_is_right_within_the_collar(found, is_right):
    assert fits(TimedEvent("dog", 1.0, 2.0), TimedEvent(*found), 0.2, 0.2) is is_right


@pytest.mark.parametrize(("end", "is_right"), [(11.0, True), (12.0, True), (12.01, False), (7.99, False)])
def test_offset_of_a_long_event_may_miss_by_a_share_of_its_length(end, is_right):
    assert fits(TimedEvent("rain", 0.0, 10.0), TimedEvent("rain", 0.1, end), 0.2, 0.2) is is_right


def test_matching_finds_the_pairing_that_greedy_would_miss():
    truth = events(("dog", 1.0, 2.0), ("dog", 1.3, 2.3))
    found = events(("dog", 1.15, 2.15), ("dog", 0.9, 1.9))  # the first fits both, the second only the first
    assert matched_events(truth, found) == [(0, 1), (1, 0)]


def test_each_event_is_used_once():
    assert len(matched_events(events(("dog", 1.0, 2.0)), events(("dog", 1.0, 2.0), ("dog", 1.1, 2.1)))) == 1


def most_pairs(truth, found):
    """Slow and obvious: try every assignment."""
    if len(truth) > len(found):
        truth, found = found, truth
        allowed = [[fits(f, t, 0.2, 0.2) for f in found] for t in truth]
    else:
        allowed = [[fits(t, f, 0.2, 0.2) for f in found] for t in truth]
    orders = itertools.permutations(range(len(found)), len(truth))
    return max(sum(allowed[row][place] for row, place in enumerate(order)) for order in orders)


@pytest.mark.parametrize("seed", range(20))
def test_matching_is_as_large_as_any(seed):
    draw = np.random.default_rng(seed)

    def some(count):
        starts = draw.uniform(0, 1, count)
        return [TimedEvent("dog", float(start), float(start) + 1.0) for start in starts]

    truth, found = some(4), some(5)
    assert len(matched_events(truth, found)) == most_pairs(truth, found)


def test_class_f1_by_hand():
    """Dog: 1 of 2 true found, 1 found wrongly: 2*1/(2+2) = 0.5. Cat: 0 of 1. Mean 0.25, all together 2/5."""
    truth = events(("dog", 0.0, 1.0), ("dog", 5.0, 6.0), ("cat", 2.0, 3.0))
    found = events(("dog", 0.1, 1.1), ("dog", 8.0, 9.0))
    counts = event_counts(truth, found)
    assert counts == {"dog": (2.0, 4.0), "cat": (0.0, 1.0)}
    assert ClassTally.of([counts]).value == pytest.approx(0.25)


def test_recordings_add_up_before_the_ratio_is_taken():
    first = event_counts(events(("dog", 0.0, 1.0)), events(("dog", 0.0, 1.0)))
    second = event_counts([], events(("dog", 0.0, 1.0), ("dog", 3.0, 4.0)))
    assert ClassTally.of([first, second]).value == pytest.approx(2 / 4)


def test_tags_ask_only_whether_a_class_occurs():
    counts = tag_counts(
        events(("dog", 0, 1), ("dog", 2, 3), ("cat", 0, 1)), events(("dog", 8, 9), ("owl", 0, 1))
    )
    assert counts == {"dog": (2.0, 2.0), "cat": (0.0, 1.0), "owl": (0.0, 1.0)}
