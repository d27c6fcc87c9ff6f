import pytest

from eureka.errors import NotFoundError
from eureka.training.espeak import Espeak
from eureka.training.word_lists import word_lists
from tests.helpers.speech_engines import espeak_or_skip


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    return espeak_or_skip()


def test_speech_after_many_pronunciations_keeps_its_first_phone(espeak: Espeak) -> None:
    words = word_lists().every
    for start in range(0, len(words), 200):  # fewer words do not show the fault
        espeak.phones_of(" ".join(words[start : start + 200]), "en-gb-x-gbcwmd")
    speech = espeak.speak("alexa stop.", "en-us", rate=160, pitch=50)
    assert [phone.ipa for phone in speech.phones[:3]] == ["ɐ", "l", "ɛ"]
    assert speech.phones[0].word_start_seconds == 0.0
    assert speech.phones[0].start_seconds == 0.0


def test_speech_is_faster_at_a_higher_rate(espeak: Espeak) -> None:
    slow, fast = (espeak.speak("one two three", "en-us", rate=rate, pitch=50) for rate in (110, 210))
    assert len(slow.pcm) > 1.3 * len(fast.pcm)


def test_british_voice_takes_a_variant(espeak: Espeak) -> None:
    speech = espeak.speak("water", "en-gb+f3", rate=150, pitch=50)
    assert [phone.ipa for phone in speech.phones if phone.ipa] == ["w", "ɔː", "t", "ə"]


def test_two_engines_in_one_process_share_the_library(espeak: Espeak) -> None:
    other = Espeak()
    for each in (espeak, other, espeak):
        assert len(each.speak("five", "en-us", rate=160, pitch=50).pcm) > 4000
    assert other.phones_of("five") == espeak.phones_of("five")


def test_text_of_several_clauses_is_pronounced_to_the_end(espeak: Espeak) -> None:
    assert espeak.phones_of("no, yes. no") == (
        *espeak.phones_of("no"),
        *espeak.phones_of("yes"),
        *espeak.phones_of("no"),
    )


def test_unknown_voice_is_not_found(espeak: Espeak) -> None:
    with pytest.raises(NotFoundError, match="no voice"):
        espeak.phones_of("two", "xx-nowhere")
