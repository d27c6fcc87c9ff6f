import pytest

from eureka.engine.repetition import RepetitionDetector, RepetitionRule


def first_detection(ids: list[int], rule: RepetitionRule) -> int | None:
    detector = RepetitionDetector(rule)
    return next((n for n, token_id in enumerate(ids, 1) if detector.push(token_id)), None)


def slow_first_detection(ids: list[int], rule: RepetitionRule) -> int | None:
    """The rule read literally, over every prefix and period."""
    for n in range(1, len(ids) + 1):
        for period in range(1, rule.max_period + 1):
            covered = max(period * rule.min_repeats, rule.min_tokens)
            tail = ids[max(0, n - covered) : n]
            if len(tail) == covered and all(tail[i] == tail[i - period] for i in range(period, covered)):
                return n
    return None


@pytest.mark.parametrize("period", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("prefix", [0, 5])
def test_detector_on_a_loop_equals_slow_rule(period: int, prefix: int) -> None:
    rule = RepetitionRule(max_period=10, min_repeats=3, min_tokens=12)
    ids = [100 + i for i in range(prefix)] + [i % period for i in range(60)]
    found = first_detection(ids, rule)
    assert found == slow_first_detection(ids, rule)
    assert found == prefix + max(3 * period, 12)


def test_detector_on_a_repeated_word_passes() -> None:
    assert first_detection([1, 5, 5, 5, 5, 2, 7, 7, 7, 7, 7, 7], RepetitionRule()) is None


def test_detector_on_a_loop_that_breaks_off_passes() -> None:
    assert first_detection([1, 2, 3] * 7 + [1, 2, 9] + [4, 5, 6] * 7, RepetitionRule()) is None


def test_detector_on_a_period_beyond_the_limit_passes() -> None:
    assert first_detection(list(range(49)) * 6, RepetitionRule()) is None
