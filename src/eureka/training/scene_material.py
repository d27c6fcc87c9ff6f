"""Draws scenes for training: which sounds meet, whether somebody speaks, whether there is a background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidInputError
from eureka.training.events import clip_events
from eureka.training.feature_pack import FeaturePack
from eureka.training.scene_plan import SceneClip, SceneRules
from eureka.training.scenes import Scene, compose_scene, scene_clip_of_pack
from eureka.training.sound_labels import (
    SOUND_LABELS,
    TEN_SOUNDS,
    is_continuous_phrase,
    is_music_phrase,
)


@dataclass(frozen=True, slots=True)
class ClipPlace:
    """A clip of a pack; `phones` replaces those of the pack, as an alignment gives them."""

    pack: FeaturePack
    index: int
    phones: NDArray[np.int32] | None = None

    def open(self) -> SceneClip:
        """The clip as material of a scene."""
        return scene_clip_of_pack(self.pack, self.index, self.phones)


@dataclass(frozen=True, slots=True)
class SceneMix:
    """What scenes are made of.

    Attributes:
        num_sounds: probability of 1, 2, 3, ... sounds.
        speech_probability: how often somebody speaks as well.
        background_probability: how often a lasting sound lies under the scene.
        group_shares: share of the ten sounds, of other sounds, and of music among the sounds.
    """

    num_sounds: tuple[float, ...] = (0.3, 0.5, 0.2)
    speech_probability: float = 0.4
    background_probability: float = 0.12
    group_shares: tuple[float, float, float] = (0.6, 0.2, 0.2)


class SceneMaterial:
    """Clips to make scenes of, sounds evenly by phrase within their group.

    Args:
        sounds: labelled clips.
        speech: spoken clips; may be empty.
        mix: what scenes are made of.
        rules: how they are laid out.

    Raises:
        InvalidInputError: there is no sound, or a clip is not of the train split.
    """

    def __init__(
        self,
        sounds: Sequence[ClipPlace],
        speech: Sequence[ClipPlace],
        mix: SceneMix | None = None,
        rules: SceneRules | None = None,
    ) -> None:
        if not sounds:
            raise InvalidInputError("scenes need at least one labelled clip")
        for place in (*sounds, *speech):
            clip = place.pack.clips[place.index]
            if clip.split != "train":
                raise InvalidInputError(f"clip {clip.id} is of split {clip.split}; only train is trained on")
        self._mix = mix or SceneMix()
        self._rules = rules or SceneRules()
        self._groups = _group_by_phrase(sounds)
        self._backgrounds = [place for place in sounds if is_continuous_phrase(_phrase_of(place))]
        # Sorted by length, so that speech that fits is a prefix.
        self._speech = sorted(speech, key=lambda place: place.pack.clips[place.index].num_frames)
        self._speech_frames = np.array([p.pack.clips[p.index].num_frames for p in self._speech], np.int64)

    def draw(self, rng: np.random.Generator, num_frames: int | None = None) -> Scene:
        """A scene of drawn clips, `num_frames` mel frames long (by 8) or of a drawn length."""
        room = num_frames or round(self._rules.seconds[1] * 100)
        # Half a second each is the least that leaves sounds apart.
        most = max(1, min(len(self._mix.num_sounds), room // 100))
        chances = np.array(self._mix.num_sounds[:most])
        count = 1 + int(rng.choice(most, p=chances / chances.sum()))
        places = [self._draw_sound(rng) for _ in range(count)]
        fitting = int(np.searchsorted(self._speech_frames, room - 16, side="right"))
        if fitting and rng.random() < self._mix.speech_probability:
            places.append(self._speech[int(rng.integers(fitting))])
        background = self._draw_background(rng, {_phrase_of(place) for place in places})
        clips = [place.open() for place in places]
        return compose_scene(clips, rng, self._rules, num_frames, background)

    def _draw_sound(self, rng: np.random.Generator) -> ClipPlace:
        filled = [index for index, group in enumerate(self._groups) if group]
        shares = np.array([self._mix.group_shares[index] for index in filled])
        group = self._groups[filled[int(rng.choice(len(filled), p=shares / shares.sum()))]]
        places = group[int(rng.integers(len(group)))]
        return places[int(rng.integers(len(places)))]

    def _draw_background(self, rng: np.random.Generator, heard: set[str]) -> SceneClip | None:
        if not self._backgrounds or rng.random() >= self._mix.background_probability:
            return None
        place = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
        return None if _phrase_of(place) in heard else place.open()


def _phrase_of(place: ClipPlace) -> str:
    return clip_events(place.pack.clips[place.index])[0].phrase


def _group_by_phrase(sounds: Sequence[ClipPlace]) -> tuple[list[list[ClipPlace]], ...]:
    """Clips by phrase, in three groups: the ten sounds, other sounds, music."""
    ten = {SOUND_LABELS[label].phrase for label in TEN_SOUNDS}
    groups: tuple[dict[str, list[ClipPlace]], ...] = ({}, {}, {})
    for place in sounds:
        phrase = _phrase_of(place)
        group = 0 if phrase in ten else 2 if is_music_phrase(phrase) else 1
        groups[group].setdefault(phrase, []).append(place)
    return tuple(list(group.values()) for group in groups)
