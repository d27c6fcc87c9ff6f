import numpy as np
import pytest

from eureka.evaluation.demo_sample import DEMO_SOUNDS, MAX_SECONDS, make_demo_sample
from eureka.training.speech_synthesis import DEMO_VOICES
from eureka.training.text_generator import is_held_out
from eureka.types import SAMPLE_RATE_HZ
from tests.helpers.small_pack import write_small_pack
from tests.helpers.speech_engines import espeak_or_skip


def check_layout(sample):
    assert len(sample.pcm) <= MAX_SECONDS * SAMPLE_RATE_HZ
    assert np.abs(sample.pcm).max() <= 1
    assert [event.kind for event in sample.events].count("speech") == 1
    assert len(sample.sounds) == 2
    ends = [0.0, *(event.end_seconds for event in sample.events)]
    assert all(event.start_seconds >= end for event, end in zip(sample.events, ends, strict=False))
    for event in sample.events:
        part = sample.pcm[int(event.start_seconds * SAMPLE_RATE_HZ) : int(event.end_seconds * SAMPLE_RATE_HZ)]
        assert float(np.sqrt(np.mean(part**2))) > 0.005


@pytest.mark.parametrize("seed", range(4))
def test_demo_sample_with_an_engine_says_a_held_out_sentence_in_a_demo_voice(seed):
    espeak_or_skip()
    sample = make_demo_sample(seed)
    check_layout(sample)
    assert is_held_out(sample.text)
    assert any(voice in sample.speaker for voice in DEMO_VOICES)
    assert {sound.kind for sound in sample.sounds} <= set(DEMO_SOUNDS)


def test_demo_sample_without_an_engine_takes_a_clip_of_ours():
    sample = make_demo_sample(5, engines=())
    check_layout(sample)
    assert is_held_out(sample.text)
    assert "rendered before" in sample.speaker


def test_demo_sample_of_a_seed_repeats():
    first, second = make_demo_sample(9, engines=()), make_demo_sample(9, engines=())
    assert np.array_equal(first.pcm, second.pcm)
    assert not np.array_equal(first.pcm[:20_000], make_demo_sample(10, engines=()).pcm[:20_000])


def test_demo_sample_with_a_pack_takes_sounds_of_dev(tmp_path):
    sample = make_demo_sample(1, write_small_pack(tmp_path), engines=())
    check_layout(sample)
    assert sample.sound_origin == "recordings (dev)"
    assert {sound.kind for sound in sample.sounds} <= {"dog bark", "rain", "sea waves", "chainsaw"}
