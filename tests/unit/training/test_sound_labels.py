from __future__ import annotations

from pathlib import Path

import pytest

from eureka.errors import NotFoundError
from eureka.training.manifest import read_manifest
from eureka.training.sound_labels import (
    EVENT_CLASSES,
    SOUND_LABELS,
    TEN_SOUNDS,
    all_phrases,
    caption_names_sound,
    join_phrases,
    named_sounds,
    phrase_classes,
    sound_phrase,
    speaking_phrase,
)


def test_sound_phrase_of_the_ten_is_the_label_with_spaces() -> None:
    assert [sound_phrase(label) for label in TEN_SOUNDS] == [label.replace("_", " ") for label in TEN_SOUNDS]


def test_sound_phrase_of_ambience_shares_the_phrase_of_the_same_sound() -> None:
    assert sound_phrase("fireplace") == sound_phrase("fire_crackling")
    assert sound_phrase("waves") == sound_phrase("sea_waves")
    assert sound_phrase("summer_night") == "crickets"


def test_sound_phrase_of_an_unknown_label_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="vuvuzela"):
        sound_phrase("vuvuzela")


def test_sound_labels_cover_the_pack(data_folder: Path) -> None:
    labels = {clip.label for clip in read_manifest(data_folder) if clip.label}
    assert labels <= SOUND_LABELS.keys()


def test_phrase_classes_of_every_phrase_are_event_classes() -> None:
    for phrase in all_phrases():
        assert set(phrase_classes(phrase)) <= set(EVENT_CLASSES)
    assert len(set(EVENT_CLASSES)) == len(EVENT_CLASSES)


def test_phrases_name_no_other_of_the_ten_sounds() -> None:
    for phrase in all_phrases():
        named = named_sounds(phrase)
        expected = {label for label in TEN_SOUNDS if SOUND_LABELS[label].phrase == phrase}
        assert named == expected


@pytest.mark.parametrize(
    ("gender", "age", "phrase"),
    [
        ("m", 30, "man speaking"),
        ("f", 15, "woman speaking"),
        ("m", 14, "child speaking"),
        ("male", None, "man speaking"),
        (None, None, "person speaking"),
        (None, 6, "child speaking"),
    ],
)
def test_speaking_phrase_follows_age_then_gender(gender: str | None, age: int | None, phrase: str) -> None:
    assert speaking_phrase(gender, age) == phrase


@pytest.mark.parametrize(
    ("caption", "label", "counts"),
    [
        ("dog bark", "dog_bark", True),
        ("<|0.4|>Dog bark<|1.2|>", "dog_bark", True),
        ("a hound is barking", "dog_bark", True),
        ("two dogs", "dog_bark", True),
        ("dogma", "dog_bark", False),
        ("barkings", "dog_bark", False),
        ("a train", "rain", False),
        ("it is raining", "rain", True),
        ("ocean waves, rain", "rain", True),
        ("ocean waves, rain, a dog", "rain", False),
        ("waving sea and ocean", "sea_waves", True),
        ("a baby cries", "baby_cry", True),
        ("crackling", "fire_crackling", True),
        ("the clock is ticking", "clock_tick", True),
        ("sneezing", "person_sneeze", True),
        ("a crow", "rooster", True),
        ("a crowd", "rooster", False),
        ("helicopters", "helicopter", True),
        ("chainsaw", "helicopter", False),
        ("silence", "rain", False),
    ],
)
def test_caption_rule_counts_whole_words_and_at_most_two_sounds(
    caption: str, label: str, counts: bool
) -> None:
    assert caption_names_sound(caption, label) is counts


def test_caption_rule_for_another_label_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        caption_names_sound("piano", "piano")


def test_join_phrases_names_each_once_and_nothing_as_silence() -> None:
    assert join_phrases(["rain", "dog bark", "rain"]) == "rain, dog bark"
    assert join_phrases([]) == "silence"
