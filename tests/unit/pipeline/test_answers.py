import numpy as np

from eureka.pipeline.answers import add_usage, seeded
from eureka.types import SamplingParams, Task, Usage


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
