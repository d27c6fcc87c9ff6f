from pathlib import Path

import numpy as np
import pytest

from eureka.evaluation.hearing import Ear
from eureka.evaluation.speech_check import CheckedKind, check_kind, mixed
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint


def test_mixed_clips_have_equal_levels_and_the_length_of_the_speech() -> None:
    draw = np.random.default_rng(0)
    speech = (0.1 * draw.normal(size=16_000)).astype(np.float32)
    sound = (0.001 * draw.normal(size=3_000)).astype(np.float32)
    both = mixed(speech, sound)
    assert both.shape == speech.shape and both.dtype == np.float32
    assert float(np.std(both - speech)) == pytest.approx(float(np.std(speech)), rel=0.01)


def test_kind_is_counted_by_what_the_checkpoint_says(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    clips = [(0.1 * draw.normal(size=8_000)).astype(np.float32) for _ in range(3)]
    with Ear.from_folder(write_tiny_checkpoint(tmp_path)) as ear:
        found = check_kind(ear, "noise", clips)
    assert isinstance(found, CheckedKind) and found.num_clips == 3
    assert 0 <= found.num_empty <= 3 and found.num_told == 0  # random weights never spell it
