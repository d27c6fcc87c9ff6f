"""Every clip and scene that training draws from, with what is known about it.

Kinds are the names that recipes mix: `synthetic_speech`, the recorded data sets by their manifest name,
`sounds` (all labelled clips), `dataflux` (clips with listening questions), `scenes`, `digit_strings` and
`speech_strings` (composed at the draw) and `quiet` (silence, noise). Only the train split is opened here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidInputError
from eureka.training.augment import LOWEST, NoiseBank
from eureka.training.events import Event, clip_events
from eureka.training.feature_pack import Clip, FeaturePack
from eureka.training.manifest import ChoiceQuestion
from eureka.training.scene_material import ClipPlace, SceneMaterial
from eureka.training.speech_strings import SpeechStrings, SpokenClip

Phones = NDArray[np.int32]

NUM_SCENES = 4_000
"""Places of the kind `scenes`; each draw composes anew, a place only fixes the length."""

SCENE_SECONDS = (2.0, 10.0)
SOUND_KINDS = ("esc10", "ambience", "music_cc0", "music_cc", "instruments")
"""Kinds with labels."""

DIGIT_KIND = "fsdd"
"""Single digits with speakers: strings of them are the kind `digit_strings`."""

BACKGROUND_KINDS = ("ambience",)
FLUX_KIND = "dataflux"
"""Clips and scenes with listening questions, of the pack of that name."""

PACKS = ("synthetic", "train", "instruments", FLUX_KIND)
_SILENCE_SHARE = 0.3
_DIGIT_STRING_FRAMES = (120, 420)
_SPEECH_STRING_FRAMES = (240, 1000)
_SPEECH_STRING_SHARES = {"speechocean762": 0.55, "synthetic_speech": 0.2, "fsdd": 0.13, "wake_words": 0.12}


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a clip or scene.

    Attributes:
        kind: where it comes from.
        words: what is said; empty where nobody speaks, None where unknown.
        events: what is heard when; None where unknown.
        label: phrase of a clip that holds one sound.
        slots: slots of a spoken order.
        questions: listening questions; their times hold roughly after augmentation, options being far apart.
    """

    kind: str
    words: str | None = None
    events: tuple[Event, ...] | None = None
    label: str | None = None
    slots: dict[str, str] | None = None
    gender: str | None = None
    age: int | None = None
    questions: tuple[ChoiceQuestion, ...] = ()

    def heard(self, time_scale: float, noise_label: str | None) -> Truth:
        """What is known after augmentation: times scaled; under recorded noise no events any more."""
        if self.events is None or noise_label is not None:
            return replace(self, events=None)
        events = tuple(
            Event(e.phrase, e.start_seconds * time_scale, e.end_seconds * time_scale) for e in self.events
        )
        return replace(self, events=events)

    def to_dict(self) -> dict[str, Any]:
        """Plain object for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Truth:
        """Read the plain object."""
        events = plain["events"]
        asked = tuple(ChoiceQuestion(**{**q, "options": tuple(q["options"])}) for q in plain["questions"])
        found = None if events is None else tuple(Event(**e) for e in events)
        return cls(**{**plain, "events": found, "questions": asked})


@dataclass(frozen=True, slots=True)
class Sample:
    """A clip or scene before augmentation.

    Attributes:
        raw: log10 mel power (F, M) float32, not floored.
        phones: rows (phone, first frame, end frame) at 100 frames/s; None where unknown.
        truth: what is known of it.
    """

    raw: NDArray[np.float32]
    phones: Phones | None
    truth: Truth


@dataclass(frozen=True, slots=True)
class _Place:
    pack: FeaturePack
    index: int

    @property
    def clip(self) -> Clip:
        return self.pack.clips[self.index]

    @property
    def is_speech(self) -> bool:
        return self.clip.text is not None or bool(self.clip.slots)


class SampleBook:
    """Opens the packs of a data folder and gives samples by kind and number.

    Args:
        folder: holds the packs of PACKS, those that were made.
        alignment: JSON lines {"id", "phones"} of aligned real clips; clips without one have no phones.
        needs_phones: leave out speech clips without phones.

    Raises:
        InvalidInputError: a clip is not of the train split, or no clip is labelled.
    """

    def __init__(self, folder: Path, alignment: Path | None = None, needs_phones: bool = False) -> None:
        self._aligned = {} if alignment is None else read_alignment(alignment)
        self._kinds: dict[str, list[_Place]] = {}
        for name in PACKS:
            if (folder / name).exists():
                self._take_in(FeaturePack(folder / name), needs_phones)
        self._kinds["sounds"] = [p for kind in SOUND_KINDS for p in self._kinds.get(kind, []) if p.clip.label]
        rng = np.random.default_rng(NUM_SCENES)
        self._scene_frames = (rng.uniform(*SCENE_SECONDS, NUM_SCENES) * 12.5).astype(np.int64) * 8
        speech = [p for places in self._kinds.values() for p in places if p.is_speech]
        self._material = SceneMaterial(
            [ClipPlace(p.pack, p.index) for p in self._kinds["sounds"]],
            [ClipPlace(p.pack, p.index, self._phones_of(p.clip)) for p in speech],
        )
        self._digit_frames = (rng.uniform(*_DIGIT_STRING_FRAMES, NUM_SCENES) / 8).astype(np.int64) * 8
        self._speech_frames = (rng.uniform(*_SPEECH_STRING_FRAMES, NUM_SCENES) / 8).astype(np.int64) * 8
        digits = self._digits_of_speakers()
        self._digit_strings = SpeechStrings(digits, dict.fromkeys(digits, 1.0), mixed=False)
        spoken = {kind: self._spoken(self._kinds.get(kind, [])) for kind in _SPEECH_STRING_SHARES}
        self._speech_strings = SpeechStrings(spoken, _SPEECH_STRING_SHARES, mixed=True)
        self._num_mel_bins = self._kinds["sounds"][0].pack.mels.shape[1]
        self._noise = NoiseBank([], self._num_mel_bins)

    def _take_in(self, pack: FeaturePack, needs_phones: bool) -> None:
        for index, clip in enumerate(pack.clips):
            if clip.split != "train":
                message = f"{pack.folder} holds the {clip.split} clip {clip.id}: train on train only"
                raise InvalidInputError(message, reason="NOT_TRAIN")
            place = _Place(pack, index)
            if not (needs_phones and place.is_speech and self._phones_of(clip) is None):
                self._kinds.setdefault(clip.kind, []).append(place)

    @property
    def lengths(self) -> dict[str, NDArray[np.int64]]:
        """Mel frames of every clip, by kind."""
        frames = {k: np.array([p.clip.num_frames for p in v]) for k, v in self._kinds.items() if v}
        if self._digit_strings:
            frames["digit_strings"] = self._digit_frames
        if self._speech_strings:
            frames["speech_strings"] = self._speech_frames
        return frames | {"scenes": self._scene_frames, "quiet": self._scene_frames}

    def background_mels(self) -> list[tuple[str, NDArray[np.floating[Any]]]]:
        """Recorded backgrounds with their labels, raw mels (F, M), to lay under speech."""
        places = [p for kind in BACKGROUND_KINDS for p in self._kinds.get(kind, [])]
        return [(p.clip.label or "", p.pack.mel(p.index)) for p in places]

    def get(self, kind: str, number: int, rng: np.random.Generator) -> Sample:
        """The sample at a place; a scene is composed by `rng`."""
        if kind == "scenes":
            return self._scene(int(self._scene_frames[number]), rng)
        if kind == "digit_strings":
            return self._string(kind, self._digit_strings, int(self._digit_frames[number]), rng)
        if kind == "speech_strings":
            return self._string(kind, self._speech_strings, int(self._speech_frames[number]), rng)
        if kind == "quiet":
            return self._quiet(int(self._scene_frames[number]), rng)
        place = self._kinds[kind][number]
        if kind == FLUX_KIND:
            return _asked_about(place)
        clip, phones = place.clip, self._phones_of(place.clip)
        events = _spoken_part(clip_events(clip), clip, phones) if place.is_speech else clip_events(clip)
        truth = Truth(
            kind=kind,
            words=clip.text if place.is_speech else _words_of_sound(clip),
            events=events or None,
            label=None if place.is_speech or not events else events[0].phrase,
            slots=clip.slots,
            gender=clip.about.get("gender"),
            age=clip.about.get("age"),
        )
        return Sample(place.pack.mel(place.index).astype(np.float32), phones, truth)

    def _phones_of(self, clip: Clip) -> Phones | None:
        return clip.phones if clip.phones is not None else self._aligned.get(clip.id)

    def _scene(self, num_frames: int, rng: np.random.Generator) -> Sample:
        scene = self._material.draw(rng, num_frames)
        truth = Truth(kind="scenes", words=scene.words, events=scene.events)
        return Sample(scene.raw, scene.phones, truth)

    def _string(self, kind: str, strings: SpeechStrings, longest: int, rng: np.random.Generator) -> Sample:
        drawn = strings.draw(longest, rng)
        return Sample(drawn.raw, drawn.phones, Truth(kind=kind, words=drawn.words))

    def _spoken(self, places: list[_Place]) -> list[SpokenClip]:
        return [
            SpokenClip(p.pack, p.index, p.clip.text, self._phones_of(p.clip)) for p in places if p.clip.text
        ]

    def _digits_of_speakers(self) -> dict[str, list[SpokenClip]]:
        of_speaker: dict[str, list[_Place]] = {}
        for place in self._kinds.get(DIGIT_KIND, []):
            if place.clip.num_frames <= _DIGIT_STRING_FRAMES[0]:  # longer: it fits no short string
                of_speaker.setdefault(str(place.clip.about.get("speaker")), []).append(place)
        return {speaker: self._spoken(places) for speaker, places in of_speaker.items()}

    def _quiet(self, num_frames: int, rng: np.random.Generator) -> Sample:
        """Digital silence, or noise alone: nobody speaks, and under noise nobody knows the events."""
        if rng.random() < _SILENCE_SHARE:
            raw = np.full((num_frames, self._num_mel_bins), LOWEST, np.float32)
            return Sample(raw, None, Truth(kind="quiet", words="", events=()))
        noise = self._noise.coloured(num_frames, rng) + np.float32(rng.uniform(-7.0, 0.0))
        return Sample(np.maximum(noise, np.float32(LOWEST)), None, Truth(kind="quiet", words=""))


def _asked_about(place: _Place) -> Sample:
    """A clip of which nothing is known but its questions: what it holds stands in no label."""
    plain = place.clip.about.get("questions", [])
    questions = tuple(ChoiceQuestion.of_plain(row, place.clip.id) for row in plain)
    truth = Truth(kind=FLUX_KIND, questions=questions)
    return Sample(place.pack.mel(place.index).astype(np.float32), None, truth)


def _spoken_part(events: tuple[Event, ...], clip: Clip, phones: Phones | None) -> tuple[Event, ...]:
    """Synthetic clips have no measured parts: their phones say from when to when somebody speaks."""
    if clip.active is not None or phones is None or not len(phones) or not events:
        return events
    return (Event(events[0].phrase, phones[0, 1] / 100, phones[-1, 2] / 100),)


def _words_of_sound(clip: Clip) -> str | None:
    return None if clip.label in ("song_vocals", "choir") else ""


def read_alignment(path: Path) -> dict[str, Phones]:
    """Phones of the aligned clips by clip id."""
    rows = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            plain = json.loads(line)
            rows[plain["id"]] = np.array(plain["phones"], np.int32).reshape(-1, 3)
    return rows
