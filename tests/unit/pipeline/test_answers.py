import numpy as np
import pytest

from eureka.pipeline.answers import add_usage, collapse_loop, seeded
from eureka.types import SamplingParams, Task, Usage


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], []),
        ([1, 2, 3], [1, 2, 3]),
        ([5, 5], [5, 5]),
        ([9, 5, 5, 5, 5], [9, 5]),
        ([9, 1, 2, 1, 2, 1, 2], [9, 1, 2]),
        ([9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1], [9, 1, 2, 3]),
        ([1, 2, 1, 2, 7], [1, 2, 1, 2, 7]),
    ],
)
def test_collapse_loop_keeps_one_copy(ids: list[int], expected: list[int]) -> None:
    assert collapse_loop(ids) == tuple(expected)


def test_seeded_depends_on_audio_task_and_attempt_only() -> None:
    quiet, loud = np.zeros(100, np.float32), np.ones(100, np.float32)
    params = SamplingParams(temperature=0.5)
    first = seeded(params, quiet, Task.TRANSCRIBE, 1)
    assert first == seeded(params, quiet.copy(), Task.TRANSCRIBE, 1)
    others = [
        seeded(params, loud, Task.TRANSCRIBE, 1),
        seeded(params, quiet, Task.CAPTION, 1),
        seeded(params, quiet, Task.TRANSCRIBE, 2),
        seeded(SamplingParams(temperature=0.5, seed=1), quiet, Task.TRANSCRIBE, 1),
    ]
    assert len({first.seed, *(other.seed for other in others)}) == 5
    assert first.temperature == 0.5


def test_add_usage_sums_each_stage() -> None:
    total = add_usage(Usage(1, 2, {"embed": 1.0}), Usage(3, 4, {"embed": 0.5, "generate": 2.0}))
    assert total == Usage(4, 6, {"embed": 1.5, "generate": 2.0})
