import itertools
import math

import numpy as np
import pytest

from eureka.evaluation import metrics
from eureka.evaluation.metrics import Tally, TimedEvent


def slow_edit_distance(said: list[str], heard: list[str]) -> int:
    """Textbook recursion over a full table."""
    table = {(i, 0): i for i in range(len(said) + 1)} | {(0, j): j for j in range(len(heard) + 1)}
    for i, j in itertools.product(range(1, len(said) + 1), range(1, len(heard) + 1)):
        swap = table[i - 1, j - 1] + (said[i - 1] != heard[j - 1])
        table[i, j] = min(swap, table[i - 1, j] + 1, table[i, j - 1] + 1)
    return table[len(said), len(heard)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello,  World!", "hello world"),
        ("don't 'stop'", "don't stop"),
        ("don\u2019t", "don't"),
        ("twenty-one", "twenty one"),
        ("", ""),
        (" ' - ", ""),
        ("\uff21BC 12", "abc 12"),
    ],
)
def test_normalise_text_of_case_marks_and_spaces_gives_plain_words(text, expected):
    assert metrics.normalise_text(text) == expected


def test_word_errors_against_slow_reference_agree():
    draw = np.random.default_rng(3)
    said = [" ".join(draw.choice(list("abcd"), draw.integers(0, 7))) for _ in range(60)]
    heard = [" ".join(draw.choice(list("abcd"), draw.integers(0, 7))) for _ in range(60)]
    tally = metrics.word_errors(said, heard)
    slow = [slow_edit_distance(a.split(), b.split()) for a, b in zip(said, heard, strict=True)]
    assert tally.numerators.tolist() == slow
    assert tally.denominators.tolist() == [len(a.split()) for a in said]
    assert tally.value == pytest.approx(sum(slow) / sum(len(a.split()) for a in said))


def test_character_errors_count_characters_and_spaces():
    tally = metrics.character_errors(["ab c"], ["abc"])
    assert (tally.numerators[0], tally.denominators[0]) == (1, 4)


def test_word_errors_of_empty_reference_count_every_word_heard():
    tally = metrics.word_errors(["", "one two"], ["three", ""])
    assert tally.numerators.tolist() == [1, 2]
    assert tally.value == pytest.approx(3 / 2)


def test_tally_interval_contains_value_and_repeats_by_seed():
    tally = Tally.of([(float(i % 3 == 0), 1.0) for i in range(200)])
    low, high = tally.interval(seed=5)
    assert low < tally.value < high
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(tally.value * (1 - tally.value) / 200), rel=0.15)
    assert tally.interval(seed=5) == (low, high)


def test_tally_without_clips_is_not_a_number():
    empty = Tally.of([])
    assert empty.num_clips == 0
    assert math.isnan(empty.value)
    assert all(math.isnan(end) for end in empty.interval())


def test_exact_answers_ignore_case_and_never_count_abstention():
    tally = metrics.exact_answers(["seven", "two", "two"], ["Seven.", "too", None])
    assert tally.numerators.tolist() == [1, 0, 0]


def test_caption_hits_follow_whole_words_and_at_most_two_sounds():
    asked = {
        ("dog bark", "a dog barking"): 1,
        ("dog bark", "hotdog stand"): 0,
        ("sea_waves", "waves of the ocean"): 1,
        ("rooster", "a cock crows"): 1,
        ("rain", "rain, helicopter"): 1,
        ("rain", "rain, helicopter, chainsaw"): 0,
        ("rain", "train"): 0,
        ("rain", "silence"): 0,
    }
    tally = metrics.caption_hits(*zip(*asked, strict=True))
    assert tally.numerators.tolist() == list(asked.values())


def test_set_f1_counts_over_all_clips():
    tally = metrics.set_f1([{"a", "b"}, {"c"}], [{"a"}, {"c", "d"}])
    assert tally.value == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_slot_f1_with_wrong_value_costs_both_sides():
    truth = [{"coffeeDrink": "latte", "size": "small"}]
    answer = [{"coffeeDrink": "latte", "size": "large"}]
    assert metrics.slot_f1(truth, answer).value == pytest.approx(0.5)


def test_match_events_takes_nearest_pairs_once_within_tolerance():
    truth = [TimedEvent("dog", 1.0, 2.0), TimedEvent("dog", 1.4, 2.4)]
    answer = [TimedEvent("dog", 1.4, 2.4), TimedEvent("dog", 1.1, 2.1), TimedEvent("cat", 1.0, 2.0)]
    assert metrics.match_events(truth, answer, 0.5) == [(truth[1], answer[0]), (truth[0], answer[1])]


@pytest.mark.parametrize(("with_ends", "expected"), [(True, 0.0), (False, 1.0)])
def test_timed_f1_with_late_end_needs_the_start_alone_only_when_told(with_ends, expected):
    tally = metrics.timed_f1(
        [[TimedEvent("rain", 0.0, 2.0)]], [[TimedEvent("rain", 0.5, 3.0)]], with_ends=with_ends
    )
    assert tally.value == expected


def test_area_under_curve_against_all_pairs_agrees():
    draw = np.random.default_rng(1)
    high, low = draw.integers(0, 6, 40).tolist(), draw.integers(0, 5, 30).tolist()
    pairs = [(a > b) + (a == b) / 2 for a, b in itertools.product(high, low)]
    assert metrics.area_under_curve(high, low) == pytest.approx(np.mean(pairs))


def test_area_under_curve_without_negatives_is_not_a_number():
    assert math.isnan(metrics.area_under_curve([1.0], []))


def test_area_and_median_intervals_contain_their_values():
    draw = np.random.default_rng(2)
    high, low = (draw.normal(size=80) + 1).tolist(), draw.normal(size=80).tolist()
    area = metrics.area_interval(high, low)
    assert area[0] < metrics.area_under_curve(high, low) < area[1]
    median = metrics.median_interval(high)
    assert median[0] <= float(np.median(high)) <= median[1]
