from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from eureka.errors import InvalidInputError, StageUnavailableError
from eureka.jobs.result import TrackSegment
from eureka.jobs.summary import GROUP_LETTERS, Summarizer
from eureka.types import Ending, Instruction, Segment, SegmentSource, Task, TextDelta, TextPart, TextRequest
from tests.helpers.job_rig import result_of
from tests.helpers.sounds import wav_of
from tests.helpers.tone_model import say
from tests.unit.jobs.conftest import MakeRig


class Writer:
    """Answers each text-only turn with its number; remembers the texts."""

    def __init__(self, error: Exception | None = None) -> None:
        self.texts: list[str] = []
        self._error = error

    def check(self, instruction: Instruction) -> None:
        if self._error is not None:
            raise self._error

    def generate(self, request: TextRequest) -> Iterator[TextDelta]:
        assert request.audio_embeddings.size == 0
        (turn,) = request.instruction.turns
        (part,) = turn.parts
        assert isinstance(part, TextPart)
        self.texts.append(part.text)
        yield TextDelta(f"part {len(self.texts)}", ending=Ending.STOP)

    def score(self, request: TextRequest, labels: Sequence[str]) -> Any:
        raise AssertionError


def segments(count: int) -> list[TrackSegment]:
    return [
        TrackSegment(Task.CAPTION, Segment(i, i + 1.0, f"event {i}", SegmentSource.WINDOW))
        for i in range(count)
    ]


def test_short_audio_is_summarised_in_one_turn() -> None:
    writer = Writer()
    assert Summarizer(writer).summarize(segments(3)) == {"text": "part 1", "ending": "STOP"}
    assert writer.texts[0].splitlines()[2:] == [f"{i}-{i + 1} s, caption: event {i}" for i in range(3)]


def test_long_audio_is_summarised_in_levels() -> None:
    writer = Writer()
    found = Summarizer(writer).summarize(segments(2_000))
    assert len(writer.texts) > 5 and found["text"] == f"part {len(writer.texts)}"
    assert all(len(text) < GROUP_LETTERS + 200 for text in writer.texts)
    assert writer.texts[-1].splitlines()[2:] == [f"part {i + 1}" for i in range(len(writer.texts) - 1)]


def test_refusal_is_kept_and_absence_is_raised() -> None:
    refused = Summarizer(Writer(InvalidInputError("no text-only turns"))).summarize(segments(1))
    assert refused["error"]["reason"] == "INVALID_INPUT"
    with pytest.raises(StageUnavailableError):
        Summarizer(Writer(StageUnavailableError("gone"))).summarize(segments(1))


def test_job_with_a_summary_has_one_in_its_result(make_rig: MakeRig) -> None:
    rig = make_rig(
        lambda request, number: (["golf"], Ending.STOP) if request.instruction.task is Task.ASK else None
    )
    keys = rig.create(wav_of(say(["bravo"])), has_summary=True)
    assert rig.run(keys) == "SUCCEEDED"
    assert result_of(rig, keys)["summary"] == {"text": "golf", "ending": "STOP"}
