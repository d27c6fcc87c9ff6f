from __future__ import annotations

import pytest

from eureka.evaluation.suites import normalisers


@pytest.mark.parametrize(
    ("reference", "heard", "errors", "words"),
    [
        ("MISTER SMITH'S COLOUR WON'T FADE", "mr. Smith's color will not fade", 0, 7),
        ("twenty one boats", "21 boats", 0, 2),
        ("the cat sat", "the cat, um, sat down", 1, 3),
        ("the cat sat", "", 3, 3),
        ("", "hello there", 2, 0),
    ],
)
def test_english_words_are_counted_after_whispers_normaliser(reference, heard, errors, words):
    assert normalisers.word_error_counts(reference, heard) == (errors, words)


@pytest.mark.parametrize(
    ("reference", "heard", "errors", "characters"),
    [
        ("\u4eca\u5929\u4e0b\u96e8", "\u4eca\u5929\uff0c\u4e0b\u96e8\u3002", 0, 4),
        ("\u4eca\u5929\u4e0b\u96e8", "\u4eca \u5929 \u4e0b \u96ea", 1, 4),
        ("\u6253\u5f00wifi", "\u6253\u5f00 WiFi", 0, 6),
    ],
)
def test_mandarin_characters_are_counted_without_marks_and_blanks(reference, heard, errors, characters):
    assert normalisers.character_error_counts(reference, heard) == (errors, characters)


def test_reports_name_package_and_version():
    assert "whisper_normalizer 0." in normalisers.ENGLISH
    assert "characters" in normalisers.MANDARIN
