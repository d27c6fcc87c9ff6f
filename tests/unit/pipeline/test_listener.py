from collections.abc import Iterator

import numpy as np
import pytest

from eureka.errors import AudioTooLongError, InvalidAudioError, InvalidInputError
from eureka.pipeline.options import ListenerSettings, ListenOptions
from eureka.types import Ending, Pcm, Task
from tests.helpers.tone_model import blocks_of, say
from tests.unit.pipeline.conftest import MakeEars


def test_ask_all_items_are_spliced_into_one_prompt(make_ears: MakeEars) -> None:
    first, second = say(["bravo", "charlie"]), say(["hotel"])
    ears = make_ears()
    result = ears.listener.ask("a.wav", [blocks_of(first), blocks_of(second)], "What is said?")
    assert result.text == "bravo charlie hotel"
    (request,) = ears.decoder.requests
    assert len(request.audio_embeddings) == len(request.audio_positions) == 18 + 9
    assert np.count_nonzero(np.diff(request.audio_positions) > 1) == 1  # two runs of audio positions
    (row,) = result.coverage
    assert row.owned == row.heard and row.owned.end_sample == len(first) + len(second)
    assert (result.task, row.ending) == (Task.ASK, Ending.STOP)


def test_ask_text_streams_and_joins_to_the_answer(make_ears: MakeEars) -> None:
    deltas: list[str] = []
    pcm = say(["bravo", "charlie", "delta"])
    result = make_ears().listener.ask("a.wav", [blocks_of(pcm)], "What?", on_text=deltas.append)
    assert len(deltas) > 1
    assert "".join(deltas) == result.text == "bravo charlie delta"


def test_ask_beyond_the_limit_names_it_and_stops_reading(make_ears: MakeEars) -> None:
    taken = 0

    def hours() -> Iterator[Pcm]:
        nonlocal taken
        for _ in range(1_000):
            taken += 1
            yield np.ones(16_000, np.float32)

    ears = make_ears(settings=ListenerSettings("tones", 10.0, max_prompt_audio_seconds=20.0))
    with pytest.raises(AudioTooLongError, match="20 s"):
        ears.listener.ask("a.wav", [hours()], "What?")
    assert taken == 21
    with pytest.raises(AudioTooLongError):
        halves = [blocks_of(np.ones(240_000, np.float32)) for _ in range(2)]
        ears.listener.ask("a.wav", halves, "What?")
    assert ears.embedder.encoded_samples == []


def test_ask_exactly_the_limit_is_heard(make_ears: MakeEars) -> None:
    ears = make_ears(settings=ListenerSettings("tones", 10.0, max_prompt_audio_seconds=1.0))
    ears.listener.ask("a.wav", [blocks_of(np.ones(16_000, np.float32))], "What?")
    assert ears.embedder.encoded_samples == [16_000]


@pytest.mark.parametrize("items", [[], [[]], [[np.zeros(0, np.float32)]]])
def test_ask_no_samples_is_an_error(make_ears: MakeEars, items: list[list[Pcm]]) -> None:
    with pytest.raises(InvalidAudioError) as caught:
        make_ears().listener.ask("a.wav", items, "What?")
    assert caught.value.reason == "EMPTY_AUDIO"


def test_ask_blank_question_is_refused(make_ears: MakeEars) -> None:
    with pytest.raises(InvalidInputError):
        make_ears().listener.ask("a.wav", [blocks_of(say(["bravo"]))], "  ")


def test_ask_ending_is_in_the_ledger(make_ears: MakeEars) -> None:
    ears = make_ears(lambda request, number: (["bravo"], Ending.LENGTH))
    result = ears.listener.ask("a.wav", [blocks_of(say(["bravo"]))], "What?")
    assert [row.ending for row in result.coverage] == [Ending.LENGTH]


def test_classify_gives_the_label_as_it_was_written(make_ears: MakeEars) -> None:
    labels = ["charlie_delta", "delta", "charlie"]
    result = make_ears().listener.classify("a.wav", blocks_of(say(["charlie", "delta"])), labels)
    assert result.label == result.text == "charlie_delta"
    assert result.scores is not None and list(result.scores) == labels
    assert sum(result.scores.values()) == pytest.approx(1.0)
    assert max(result.scores, key=result.scores.__getitem__) == "charlie_delta"
    assert [segment.text for segment in result.segments] == ["charlie_delta"]
    assert [row.ending for row in result.coverage] == [Ending.STOP]


def test_classify_abstains_only_when_asked_to(make_ears: MakeEars) -> None:
    pcm, labels = say(["juliett"]), ["bravo", "charlie"]
    forced = make_ears().listener.classify("a.wav", blocks_of(pcm), labels)
    assert forced.label == "bravo"
    abstained = make_ears().listener.classify("a.wav", blocks_of(pcm), labels, abstain_below=0.5)
    assert (abstained.label, abstained.text, abstained.segments) == (None, "", ())
    assert abstained.scores == forced.scores
    assert abstained.to_dict()["label"] is None


@pytest.mark.parametrize(
    ("labels", "abstain_below", "reason"),
    [
        ([], None, "NO_LABELS"),
        (["dog", "_"], None, "NO_LABELS"),
        (["dog", "dog"], None, "REPEATED_LABEL"),
        (["dog"], 1.5, "INVALID_INPUT"),
    ],
)
def test_classify_unusable_set_is_refused(
    make_ears: MakeEars, labels: list[str], abstain_below: float | None, reason: str
) -> None:
    ears = make_ears()
    with pytest.raises(InvalidInputError) as caught:
        ears.listener.classify("a.wav", blocks_of(say(["bravo"])), labels, abstain_below)
    assert caught.value.reason == reason
    assert ears.embedder.encoded_samples == []


def test_classify_too_long_names_the_limit(make_ears: MakeEars) -> None:
    ears = make_ears(settings=ListenerSettings("tones", 10.0, max_prompt_audio_seconds=2.0))
    with pytest.raises(AudioTooLongError, match="2 s"):
        ears.listener.classify("a.wav", [np.ones(33_000, np.float32)], ["dog"])


def test_request_ids_differ_between_listeners(make_ears: MakeEars) -> None:
    ids = set()
    for ears in (make_ears(), make_ears()):
        ears.listener.transcribe("a.wav", blocks_of(say(["bravo"])), ListenOptions(deadline=5.0))
        ears.listener.caption("a.wav", blocks_of(say(["bravo"])), ListenOptions(deadline=5.0))
        ids |= {request.request_id for request in ears.decoder.requests}
        assert {request.deadline for request in ears.decoder.requests} == {5.0}
    assert len(ids) == 4
