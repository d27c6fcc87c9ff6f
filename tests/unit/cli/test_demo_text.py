import numpy as np
import pytest

from eureka.cli.demo_text import Classified, DemoOutcome, outcome_lines, picture_texts
from eureka.evaluation.demo_sample import DemoSample
from eureka.evaluation.metrics import TimedEvent
from eureka.types import HearingResult, Segment, SegmentSource, Task, Usage

PCM = np.zeros(16_000 * 8, dtype=np.float32)
SAMPLE = DemoSample(
    PCM,
    "turn the volume down",
    "espeak, voice en-us+f2",
    (TimedEvent("rain", 0.3, 2.7), TimedEvent("speech", 3.0, 4.5), TimedEvent("bell", 5.0, 7.0)),
    "computed",
)


def result_of(task: Task, text: str, segments: tuple[Segment, ...] = ()) -> HearingResult:
    return HearingResult("a.wav", task, text, segments, (), 8.0, "tiny", Usage())


def outcome_of(sample: DemoSample | None, words: str) -> DemoOutcome:
    events = (
        Segment(0.4, 2.6, "rain", SegmentSource.MODEL),
        Segment(3.0, 4.9, "woman speaking", SegmentSource.MODEL),
    )
    scored = (
        Classified(0.3, 2.7, {"rain": 0.9, "sea waves": 0.1}),
        Classified(5.0, 7.0, {"rain": 0.6, "bell": 0.4}),
    )
    return DemoOutcome(
        transcript=result_of(Task.TRANSCRIBE, words),
        caption=result_of(Task.CAPTION, "rain, woman speaking", events),
        classified=scored if sample is not None else scored[:1],
        pcm=PCM,
        expert_shares=np.ones((100, 1), dtype=np.float32),
        listening_seconds=0.4,
        sample=sample,
        seed=None if sample is None else 3,
    )


def test_outcome_lines_of_a_sample_show_truth_answer_and_error():
    text = "\n".join(outcome_lines(outcome_of(SAMPLE, "turn the volume up")))
    assert "said       3.0 -  4.5 s  “turn the volume down”   (espeak, voice en-us+f2)" in text
    assert "heard     “turn the volume up”   (word error rate 0.25)" in text
    assert "1 of 2 sounds named, times off by 0.15 s" in text
    assert "rain 0.90, sea waves 0.10   right" in text
    assert "rain 0.60, bell 0.40   wrong, bell" in text
    assert "8.0 s of audio heard in 0.40 s (0.050 seconds a second)" in text


def test_outcome_lines_of_a_file_claim_no_truth():
    lines = outcome_lines(outcome_of(None, ""))
    text = "\n".join(lines)
    assert lines[0] == "heard     (no words)"
    assert "error" not in text and "named" not in text and "right" not in text


@pytest.mark.parametrize(("words", "title"), [("hello", "“hello”"), ("", "rain, woman speaking")])
def test_picture_title_is_what_was_heard(words, title):
    texts = picture_texts(outcome_of(None, words))
    assert texts.title == title
    assert texts.subtitle == "a.wav"
