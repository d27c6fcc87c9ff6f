from pathlib import Path

import pytest

from eureka.errors import NotFoundError
from eureka.training.espeak import Espeak
from eureka.training.lexicon import Lexicon
from eureka.training.phones import PHONES
from eureka.training.text_generator import WAKE_WORDS
from tests.helpers.speech_engines import espeak_or_skip


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    espeak_or_skip()
    return Lexicon()


def _names(words: list[list[int]]) -> list[str]:
    return [" ".join(PHONES[phone] for phone in word) for word in words]


def test_pronounce_gives_one_list_a_word(lexicon: Lexicon) -> None:
    assert _names(lexicon.pronounce("alexa what's a snowboy")) == [
        "AX L EH K S AX",
        "W AH T S",
        "AX",
        "S N OW B OY",
    ]


def test_pronounce_passes_over_marks_and_case(lexicon: Lexicon) -> None:
    assert lexicon.pronounce("No, the 'Dog' -- (ran)!") == lexicon.pronounce("no the dog ran")


def test_pronounce_of_wake_words_has_all_words(lexicon: Lexicon) -> None:
    for text in WAKE_WORDS:
        assert len(lexicon.pronounce(text)) == len(text.split())


def test_pronounce_of_nothing_is_empty(lexicon: Lexicon) -> None:
    assert lexicon.pronounce(" ... ") == []


def test_saved_lexicon_needs_no_engine(lexicon: Lexicon, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "lexicon.json"
    first = Lexicon(path)
    expected = first.pronounce("turn on the light")
    first.save()

    def no_engine() -> Espeak:
        raise NotFoundError("not installed")

    second = Lexicon(path, no_engine)
    assert second.pronounce("turn on the light") == expected
    with pytest.raises(NotFoundError):
        second.pronounce("something new")
