from __future__ import annotations

from itertools import pairwise

import pytest

from eureka.training.schedule import Progress, ScheduleConfig


def _rates(config: ScheduleConfig) -> list[float]:
    progress, rates = Progress(config), []
    while not progress.is_done:
        rates.append(progress.rate)
        progress.tick()
    return rates


def test_schedule_warms_up_stays_and_falls_in_a_line() -> None:
    rates = _rates(ScheduleConfig(steps=20, warmup_steps=4, decay_from=0.5, final_share=0.2))
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:11] == [1.0] * 7
    falls = [early - late for early, late in pairwise(rates[10:])]
    assert falls == pytest.approx([0.08] * 9)  # from 1 to 0.2 in ten steps
    assert rates[-1] == pytest.approx(0.28)


def test_schedule_without_decay_keeps_the_peak() -> None:
    assert _rates(ScheduleConfig(steps=5, warmup_steps=0, decay_from=1.0)) == [1.0] * 5


def test_schedule_decay_from_the_start_ends_near_zero() -> None:
    rates = _rates(ScheduleConfig(steps=10, warmup_steps=0, decay_from=0.0))
    assert rates == pytest.approx([1 - step / 10 for step in range(10)])


def test_progress_takes_steps_or_time_whichever_is_further() -> None:
    progress = Progress(ScheduleConfig(steps=100, minutes=2.0, warmup_steps=0, decay_from=0.5))
    progress.step, progress.elapsed_seconds = 10, 90.0
    assert progress.share == pytest.approx(0.75)
    assert progress.rate == pytest.approx(0.5)
    progress.step = 80
    assert progress.share == pytest.approx(0.8)
    progress.elapsed_seconds = 121.0
    assert progress.share == 1.0 and progress.is_done


def test_progress_resumed_does_not_count_the_time_between() -> None:
    progress = Progress(ScheduleConfig(steps=10, minutes=1.0))
    progress._last -= 1000.0  # as if the machine had been off
    progress.resume(step=3, elapsed_seconds=12.0)
    progress.tick()
    assert progress.step == 4
    assert 12.0 <= progress.elapsed_seconds < 13.0
