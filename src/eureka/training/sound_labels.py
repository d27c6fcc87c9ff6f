"""The words for sounds: manifest labels to phrases, event classes, and the caption rule.

One table names every label of the audio pack and of the rendered instruments. A phrase is what the
model says; an event class is an output of the encoder's frame event head. The caption rule decides
whether a caption names one of ten sounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from eureka.errors import NotFoundError
from eureka.training.manifest import MAX_CHILD_AGE

SILENCE_PHRASE = "silence"
"""What a caption says where nothing is heard."""

TEN_SOUNDS = (
    "dog_bark",
    "rain",
    "sea_waves",
    "baby_cry",
    "clock_tick",
    "person_sneeze",
    "helicopter",
    "chainsaw",
    "rooster",
    "fire_crackling",
)
"""Labels of ESC-10."""

SPEECH_PHRASES = ("man speaking", "woman speaking", "child speaking", "person speaking")


@dataclass(frozen=True, slots=True)
class SoundLabel:
    """How a label is said and heard.

    Attributes:
        label: as in the manifest.
        phrase: as the model says it; several labels may share one.
        classes: event classes of the frame head that are on while it sounds.
        is_continuous: it goes on by nature, so its parts are one event.
        is_music: it is music or an instrument.
    """

    label: str
    phrase: str
    classes: tuple[str, ...]
    is_continuous: bool = False
    is_music: bool = False


def _sound(label: str, phrase: str, *classes: str) -> SoundLabel:
    return SoundLabel(label, phrase, classes or (phrase,))


def _lasting(label: str, phrase: str, *classes: str) -> SoundLabel:
    return SoundLabel(label, phrase, classes or (phrase,), is_continuous=True)


def _music(label: str, phrase: str, *classes: str, lasting: bool = False) -> SoundLabel:
    return SoundLabel(label, phrase, ("music", *classes), is_continuous=lasting, is_music=True)


SOUND_LABELS: dict[str, SoundLabel] = {
    entry.label: entry
    for entry in (
        _sound("dog_bark", "dog bark"),
        _lasting("rain", "rain"),
        _lasting("sea_waves", "sea waves"),
        _sound("baby_cry", "baby cry"),
        _sound("clock_tick", "clock tick"),
        _sound("person_sneeze", "person sneeze"),
        _lasting("helicopter", "helicopter"),
        _lasting("chainsaw", "chainsaw"),
        _sound("rooster", "rooster"),
        _lasting("fire_crackling", "fire crackling"),
        # Ambience: pieces of eight seconds without a pause.
        _lasting("birds", "birds"),
        _lasting("boat", "boat"),
        _lasting("city", "city", "crowd"),
        _lasting("coffee_shop", "coffee shop", "crowd"),
        _lasting("fireplace", "fire crackling"),
        _lasting("storm", "storm"),
        _lasting("summer_night", "crickets"),
        _lasting("train", "train"),
        _lasting("waves", "sea waves"),
        _lasting("wind", "wind"),
        # One-shots and single recordings. A crow is said as a bird: "crow" stands for the rooster.
        _sound("bird", "birds"),
        _sound("crow", "birds"),
        _sound("humpback_whale", "whale song", "other"),
        _sound("telephone", "telephone", "bell"),
        _sound("beep", "beep", "bell"),
        _sound("finger_snap", "finger snap", "other"),
        _sound("printer", "printer", "other"),
        _sound("burp", "burp", "other"),
        _sound("door", "door", "other"),
        _sound("cash_register", "cash register", "other"),
        _lasting("vinyl_hiss", "vinyl hiss", "other"),
        _sound("vinyl_scratch", "vinyl scratch", "other"),
        # Music.
        _music("tabla", "tabla", "drums"),
        _music("hi_hat", "hi hat", "drums"),
        _music("bass_drum", "bass drum", "drums"),
        _music("cymbal", "cymbal", "drums"),
        _music("drum_loop", "drums", "drums", lasting=True),
        _music("snare_drum", "snare drum", "drums"),
        _music("tom_drum", "tom drum", "drums"),
        _music("drum_roll", "drum roll", "drums"),
        _music("cowbell", "cowbell", "bell"),
        _music("bell", "bell", "bell"),
        _music("bass_synth", "bass", "bass"),
        _music("electric_guitar", "electric guitar", "guitar"),
        _music("choir", "choir", "singing"),
        _music("song_vocals", "singing", "singing", lasting=True),
        _music("orchestra", "orchestra", "strings", lasting=True),
        _music("string_orchestra", "string orchestra", "strings", lasting=True),
        _music("jazz_band", "jazz band", lasting=True),
        _music("trumpet", "trumpet", "brass"),
        _music("piano", "piano", "keys"),
        # Instruments rendered from a General MIDI sound font (`instruments`).
        _music("organ", "organ", "keys", lasting=True),
        _music("accordion", "accordion", "keys", lasting=True),
        _music("acoustic_guitar", "acoustic guitar", "guitar"),
        _music("violin", "violin", "strings", lasting=True),
        _music("cello", "cello", "strings", lasting=True),
        _music("flute", "flute", "wind instrument", lasting=True),
        _music("clarinet", "clarinet", "wind instrument", lasting=True),
        _music("saxophone", "saxophone", "brass", lasting=True),
        _music("harp", "harp", "guitar"),
        _music("xylophone", "xylophone", "bell"),
    )
}
"""Label -> how it is said and heard; see `SoundLabel`."""

EVENT_CLASSES = (
    *(SOUND_LABELS[label].phrase for label in TEN_SOUNDS),
    *("birds", "boat", "crowd", "storm", "crickets", "train", "wind", "other"),
    *("music", "drums", "bell", "bass", "guitar", "singing", "strings", "brass", "keys", "wind instrument"),
    *("speech", "man", "woman", "child"),
)
"""Outputs of the encoder's frame event head, in order; new ones go to the end."""

EVENT_CLASS_INDEX = {name: index for index, name in enumerate(EVENT_CLASSES)}

SPEAKER_CLASSES = ("man", "woman", "child")

_SPEECH_CLASSES = {
    "man speaking": ("speech", "man"),
    "woman speaking": ("speech", "woman"),
    "child speaking": ("speech", "child"),
    "person speaking": ("speech",),
}
_PHRASE_CLASSES = {entry.phrase: entry.classes for entry in SOUND_LABELS.values()} | _SPEECH_CLASSES
_MUSIC_PHRASES = frozenset(entry.phrase for entry in SOUND_LABELS.values() if entry.is_music)
_CONTINUOUS_PHRASES = frozenset(entry.phrase for entry in SOUND_LABELS.values() if entry.is_continuous)
_SPOKEN_GENDERS = {"m": "man speaking", "f": "woman speaking"}


def sound_phrase(label: str) -> str:
    """Phrase of a manifest label: `dog_bark` -> `dog bark`, `fireplace` -> `fire crackling`.

    Raises:
        NotFoundError: the table does not know the label.
    """
    if label not in SOUND_LABELS:
        raise NotFoundError(f"no sound label {label!r}; add it to SOUND_LABELS")
    return SOUND_LABELS[label].phrase


def speaking_phrase(gender: str | None, age: int | None) -> str:
    """Phrase of a speaker: a child up to 14 years, else man or woman, else person.

    Args:
        gender: `m`, `f`, `male`, `female` or None.
        age: years, None when unknown.
    """
    if age is not None and age <= MAX_CHILD_AGE:
        return "child speaking"
    return _SPOKEN_GENDERS.get((gender or "")[:1], "person speaking")


def is_speech_phrase(phrase: str) -> bool:
    """Whether the phrase says that somebody speaks."""
    return phrase in SPEECH_PHRASES


def is_music_phrase(phrase: str) -> bool:
    """Whether the phrase names music, an instrument or singing."""
    return phrase in _MUSIC_PHRASES


def is_continuous_phrase(phrase: str) -> bool:
    """Whether the parts of this sound are one event."""
    return phrase in _CONTINUOUS_PHRASES


def phrase_classes(phrase: str) -> tuple[str, ...]:
    """Event classes that are on while `phrase` sounds.

    Raises:
        NotFoundError: no label and no speaker has this phrase.
    """
    if phrase not in _PHRASE_CLASSES:
        raise NotFoundError(f"no event class for {phrase!r}; add its label to SOUND_LABELS")
    return _PHRASE_CLASSES[phrase]


def all_phrases() -> tuple[str, ...]:
    """Every phrase that a caption may hold, sounds first, each once."""
    return tuple(dict.fromkeys([*(entry.phrase for entry in SOUND_LABELS.values()), *SPEECH_PHRASES]))


# The ten sounds as whole words, with s or ing, in the spelling that the ending asks for.
_TEN_WORDS: dict[str, tuple[str, ...]] = {
    "dog_bark": ("dog", "bark"),
    "rain": ("rain",),
    "sea_waves": ("sea", "wave", "ocean"),
    "baby_cry": ("baby", "cry"),
    "clock_tick": ("clock", "tick"),
    "person_sneeze": ("sneeze",),
    "helicopter": ("helicopter",),
    "chainsaw": ("chainsaw",),
    "rooster": ("rooster", "crow"),
    "fire_crackling": ("fire", "crackle"),
}


def _forms(word: str) -> list[str]:
    stem = word[:-1] if word.endswith("e") else word
    plural = word[:-1] + "ies" if word.endswith("y") else word + "s"
    return [word, word + "s", plural, word + "ing", stem + "ing"]


_TEN_PATTERNS = {
    label: re.compile(r"\b(?:" + "|".join(form for word in words for form in _forms(word)) + r")\b")
    for label, words in _TEN_WORDS.items()
}


def named_sounds(caption: str) -> frozenset[str]:
    """Labels of the ten sounds that a caption names, by whole words with s or ing."""
    text = caption.lower()
    return frozenset(label for label, pattern in _TEN_PATTERNS.items() if pattern.search(text))


def caption_names_sound(caption: str, label: str) -> bool:
    """Whether a caption counts for `label`: it names it, and at most two of the ten sounds.

    Raises:
        NotFoundError: `label` is none of the ten.
    """
    if label not in _TEN_WORDS:
        raise NotFoundError(f"{label!r} is none of the ten sounds {TEN_SOUNDS}")
    named = named_sounds(caption)
    return label in named and len(named) <= 2


def join_phrases(phrases: Iterable[str]) -> str:
    """Phrases in order, each once, joined by ", "; `silence` when there are none."""
    return ", ".join(dict.fromkeys(phrases)) or SILENCE_PHRASE
