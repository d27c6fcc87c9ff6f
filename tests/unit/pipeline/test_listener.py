import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from eureka.errors import AudioTooLongError, InvalidAudioError, InvalidInputError
from eureka.pipeline.conversation import AudioItem, SpokenTurn
from eureka.pipeline.options import ListenerSettings, ListenOptions
from eureka.text.prompts import AUDIO_TYPE
from eureka.types import SAMPLE_RATE_HZ, AudioPart, Ending, Pcm, Priority, Task, TextDelta, TextPart, Turn
from tests.helpers.tone_model import blocks_of, say
from tests.unit.pipeline.conftest import MakeEars


def test_ask_all_items_are_spliced_into_one_prompt(make_ears: MakeEars) -> None:
    first, second = say(["bravo", "charlie"]), say(["hotel"])
    ears = make_ears()
    result = ears.listener.ask("a.wav", [blocks_of(first), blocks_of(second)], "What is said?")
    assert result.text == "bravo charlie hotel"
    (request,) = ears.decoder.requests
    positions = np.flatnonzero(ears.decoder.prompts[0].token_type_ids == AUDIO_TYPE)
    assert len(request.audio_embeddings) == len(positions) == 18 + 9
    assert np.count_nonzero(np.diff(positions) > 1) == 1  # two runs of audio positions
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


def test_deadline_and_priority_are_in_each_request(make_ears: MakeEars) -> None:
    ears, pcm = make_ears(), say(["bravo"])
    options = ListenOptions(deadline=5.0, priority=Priority.BULK)
    ears.listener.transcribe("a.wav", blocks_of(pcm), options)
    ears.listener.ask("a.wav", [blocks_of(pcm)], "What?", options)
    ears.listener.classify("a.wav", blocks_of(pcm), ["bravo"], options=options)
    assert [(r.deadline, r.priority) for r in ears.decoder.requests] == [(5.0, Priority.BULK)] * 3


def test_classify_gives_log_probabilities_beside_scores(make_ears: MakeEars) -> None:
    result = make_ears().listener.classify("a.wav", blocks_of(say(["charlie"])), ["delta", "charlie"])
    assert result.log_probabilities == {"delta": -6.0, "charlie": -0.1}
    assert "log_probabilities" not in result.to_dict()


def test_converse_turns_of_text_and_several_audios_are_laid_out_in_order(make_ears: MakeEars) -> None:
    first, second = say(["bravo"]), say(["hotel", "golf"])
    turns = [
        SpokenTurn("system", (TextPart("Be brief."),)),
        SpokenTurn("user", (AudioItem(blocks_of(first)), TextPart("Which word?"))),
        SpokenTurn("assistant", (TextPart("bravo"),)),
        SpokenTurn("user", (TextPart("And here?"), AudioItem(blocks_of(second)))),
    ]
    deltas: list[TextDelta] = []
    ears = make_ears()
    result = ears.listener.converse("a.wav", turns, on_delta=deltas.append)
    (request,) = ears.decoder.requests
    assert request.instruction.turns == (
        Turn("system", (TextPart("Be brief."),)),
        Turn("user", (AudioPart(9), TextPart("Which word?"))),
        Turn("assistant", (TextPart("bravo"),)),
        Turn("user", (TextPart("And here?"), AudioPart(18))),
    )
    assert result.text == "".join(delta.text for delta in deltas) == "bravo hotel golf"
    assert [delta.ending for delta in deltas[-2:]] == [None, Ending.STOP]
    assert result.audio_seconds == (len(first) + len(second)) / SAMPLE_RATE_HZ


def test_converse_without_audio_has_no_coverage(make_ears: MakeEars) -> None:
    ears = make_ears(lambda request, number: (["hello"], Ending.STOP))
    result = ears.listener.converse("", [SpokenTurn("user", (TextPart("Hello?"),))])
    assert (result.text, result.coverage, result.segments, result.audio_seconds) == ("hello", (), (), 0.0)
    assert ears.embedder.encoded_samples == []
    assert ears.decoder.requests[0].audio_embeddings.shape == (0, 0)


@pytest.mark.parametrize(
    ("role", "text", "reason"),
    [("user", " ", "EMPTY_QUESTION"), ("user", None, "EMPTY_TURN"), ("tool", "x", "UNKNOWN_ROLE")],
)
def test_converse_what_cannot_be_laid_out_is_refused_before_decoding(
    make_ears: MakeEars, role: str, text: str | None, reason: str
) -> None:
    def never() -> Iterator[Pcm]:
        raise AssertionError("the audio was opened")
        yield

    heard = SpokenTurn("user", (AudioItem(never()),))
    refused = SpokenTurn(role, () if text is None else (TextPart(text),))
    with pytest.raises(InvalidInputError) as caught:
        make_ears().listener.converse("a.wav", [heard, refused])
    assert caught.value.reason == reason


def test_ask_loop_stays_in_the_text_that_was_streamed(make_ears: MakeEars) -> None:
    deltas: list[str] = []
    ears = make_ears(lambda request, number: (["bravo"] * 9, Ending.REPETITION))
    result = ears.listener.ask("a.wav", [blocks_of(say(["bravo"]))], "What?", on_text=deltas.append)
    assert "".join(deltas) == result.text == result.segments[0].text == " ".join(["bravo"] * 9)


def test_listener_needs_no_tokenizer_library() -> None:
    code = "import sys, eureka.pipeline.listener; sys.exit('tokenizers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
