import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from eureka.jobs.planning import Planner, PlanSettings
from eureka.jobs.source import OpenHere, SpanFetcher
from eureka.types import SAMPLE_RATE_HZ
from tests.helpers.job_rig import TONE_CARD, JobRig
from tests.helpers.sounds import noise, wav_of
from tests.unit.jobs.conftest import MakeRig


def planner(rig: JobRig, silence_dbfs: float = -70.0) -> Planner:
    return Planner(rig.jobs, OpenHere(), PlanSettings(TONE_CARD, silence_dbfs))


def test_plan_is_written_once_and_stands(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(noise(30.0)))
    first = planner(rig).plan(keys)
    assert first == planner(rig, -10.0).plan(keys) == rig.jobs.plan(keys, 1)
    assert rig.store.wins[keys.plan(1)] == 1


def test_plan_of_a_slower_planner_gives_way(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(noise(30.0)))
    other = make_rig()  # its own memory of plans, the same store

    def overtake(method: str, key: str) -> None:
        if method == "put_if_absent":
            rig.store.before = lambda method, key: None
            planner(other, -10.0).plan(keys)

    rig.store.before = overtake
    made = planner(rig).plan(keys)
    assert made is not None and made.silence_dbfs == -10.0


def test_plan_level_of_silence_is_a_setting(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(noise(10.0, amplitude=0.01)))
    plan = planner(rig, -30.0).plan(keys)
    assert plan is not None and plan.sounding == () and plan.silence_dbfs == -30.0


def test_plan_of_a_stopped_job_is_not_written(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(noise(10.0)))
    assert planner(rig).plan(keys, is_stopped=lambda: True) is None
    assert rig.jobs.plan(keys, 1) is None


def test_plan_follows_the_bound_of_the_job(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(noise(20.0)), max_window_seconds=2.0)
    plan = planner(rig).plan(keys)
    assert plan is not None and plan.max_window_seconds == 2.0
    assert max(window.heard.num_samples for window in plan.windows) <= 2 * SAMPLE_RATE_HZ


@pytest.mark.timeout(300)
def test_planning_and_fetching_hold_little_of_long_audio(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig()
    minutes = 4
    block = noise(60.0)
    content = wav_of(np.tile(block, minutes))
    keys = rig.create(content)
    del content
    tracemalloc.start()
    try:
        plan = planner(rig).plan(keys)
        assert plan is not None and len(plan.to_bytes()) < 350 * len(plan.windows)
        fetcher = SpanFetcher(rig.store, OpenHere())
        for window in plan.windows:
            fetcher.fetch(plan.source, window)
        fetcher.close()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 6 << 20  # the samples alone have 14.6 MiB
