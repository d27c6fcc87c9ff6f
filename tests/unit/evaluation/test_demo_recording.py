import numpy as np

from eureka.evaluation.demo_recording import MAX_PAUSE_SECONDS, NUM_SAMPLES, make_demo_recording
from eureka.evaluation.demo_sample import MAX_SECONDS, make_demo_sample
from eureka.types import SAMPLE_RATE_HZ


def test_recording_begins_with_the_sample_of_its_seed_and_repeats_after_four():
    recording = make_demo_recording(4)
    first = make_demo_sample(4)  # an engine may speak a sentence a little differently the second time
    assert recording.text.startswith(first.text)
    assert [event.kind for event in recording.samples[0].events] == [event.kind for event in first.events]
    assert np.array_equal(recording.pcm[: len(recording.samples[0].pcm)], recording.samples[0].pcm)
    assert recording.samples[NUM_SAMPLES] is recording.samples[0]
    assert len({id(sample) for sample in recording.samples}) == NUM_SAMPLES
    assert 90 <= len(recording.pcm) / SAMPLE_RATE_HZ < 90 + MAX_SECONDS + MAX_PAUSE_SECONDS


def test_recording_has_more_than_a_second_of_digital_silence_after_each_sample():
    recording = make_demo_recording(4, seconds=15)
    edges = np.diff(np.concatenate([[0], recording.pcm == 0, [0]]).astype(int))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    assert (lengths > SAMPLE_RATE_HZ).sum() == len(recording.samples)
