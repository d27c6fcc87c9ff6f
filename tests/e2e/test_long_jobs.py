"""An hour with pauses, and ten minutes without, as jobs by the shipped checkpoint (make chaos).

Shorter recordings are heard every day by `test_job_workers.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.heard_whole import check_rain, heard, overlaps
from tests.helpers.job_stack import JobStack
from tests.helpers.long_recording import (
    LONGEST_CLIP_SECONDS,
    RAIN_SECONDS,
    long_recording,
    recording_without_pause,
    with_rain,
)
from tests.helpers.redis_server import redis_program
from tests.helpers.stack_user import StackUser

JOB_SECONDS = 1_200.0
"""An hour takes a minute and a half of two idle cores."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]


@pytest.fixture(scope="module")
def stack(user: StackUser, checkpoint_folder: Path) -> Iterator[JobStack]:
    redis_program()
    user.environment |= {"EUREKA_CHECKPOINT": str(checkpoint_folder), "EUREKA_STACK__WORKERS": "2"}
    user.run("up", "--detach")
    yield JobStack(user)


def test_hour_with_pauses_and_soft_rain_is_heard_whole(stack: JobStack, data_folder: Path) -> None:
    recording = long_recording(3_600.0 - RAIN_SECONDS - LONGEST_CLIP_SECONDS, data_folder, seed=6)
    result = heard(stack, with_rain(recording.pcm), JOB_SECONDS)
    assert result["audio_seconds"] > 3_580
    assert "SILENCE" in {row["ending"] for row in result["coverage"]}
    check_rain(result)


def test_ten_minutes_of_speech_over_music_are_heard_whole(stack: JobStack, data_folder: Path) -> None:
    result = heard(stack, recording_without_pause(600.0, data_folder, seed=6), JOB_SECONDS)
    assert {row["ending"] for row in result["coverage"]} == {"STOP"}
    assert overlaps(result), "every window ended in a pause"
