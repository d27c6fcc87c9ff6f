import numpy as np
import pytest

from eureka.errors import InvalidCheckpointError, InvalidInputError
from eureka.evaluation.hearing import Ear, Question
from eureka.evaluation.hearing_pool import HearingPool
from eureka.types import SAMPLE_RATE_HZ, Task
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

LABELS = ("rain", "dog bark", "man speaking")
QUESTIONS = (
    Question(Task.TRANSCRIBE),
    Question(Task.CAPTION),
    Question(Task.ASK, text="what is ordered"),
    Question(Task.CLASSIFY, LABELS),
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def clips():
    draw = np.random.default_rng(0)
    return [
        (0.1 * draw.normal(size=int(seconds * SAMPLE_RATE_HZ))).astype(np.float32)
        for seconds in (0.3, 1.7, 0.9, 2.4, 0.5, 1.1)
    ]


@pytest.fixture(scope="module")
def alone(checkpoint, clips):
    """Answers given one after the other."""
    with Ear.from_folder(checkpoint) as ear:
        return [[ear.hear(pcm, question) for pcm in clips] for question in QUESTIONS]


def test_ear_asked_many_at_once_answers_as_alone(checkpoint, clips, alone):
    with Ear.from_folder(checkpoint) as ear:
        for question, answers in zip(QUESTIONS, alone, strict=True):
            together = ear.hear_all(clips, [question] * len(clips))
            assert [heard.text for heard in together] == [heard.text for heard in answers]
            assert [heard.segments for heard in together] == [heard.segments for heard in answers]


def test_ear_gives_the_log_probability_that_abstaining_compares(checkpoint, clips, alone):
    for heard in alone[3]:
        assert heard.label in LABELS
        assert heard.log_probability < 0
    assert all(np.isnan(heard.log_probability) for heard in alone[0])


def test_pool_of_two_processes_answers_as_one_in_order(checkpoint, clips, alone):
    counts = []
    pcms, questions = clips * 7, [QUESTIONS[0], QUESTIONS[3]] * (len(clips) * 7 // 2)
    with HearingPool(checkpoint, num_workers=2) as pool:
        spread = pool.hear(pcms, questions, counts.append)
    assert sum(counts) == len(pcms)
    for place, heard in enumerate(spread):
        expected = alone[QUESTIONS.index(questions[place])][place % len(clips)]
        assert heard.text == expected.text
        assert heard.log_probability == pytest.approx(expected.log_probability, rel=1e-4, nan_ok=True)


def test_pool_passes_on_what_a_worker_raises(tmp_path):
    with pytest.raises(InvalidCheckpointError), HearingPool(tmp_path, num_workers=2):
        pass


def test_pool_of_no_workers_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="at least 1"):
        HearingPool(tmp_path, num_workers=0)
