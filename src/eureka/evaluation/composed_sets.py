"""Evaluation sets that training's own tools compose: scenes of dev clips, and synthetic speech.

The rules of layout and the truth about it are those of `eureka.training.scenes`; voices and texts are
those that `eureka.training` sets aside by name and hash and never trains on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eureka.audio.decode import decode_all
from eureka.evaluation.metrics import TimedEvent
from eureka.evaluation.sets import EvaluationClip
from eureka.training.events import Event
from eureka.training.manifest import ManifestClip, read_manifest
from eureka.training.scenes import SceneClip, SceneRules, compose_pcm_scene, scene_clip_of_pcm
from eureka.training.sound_labels import is_speech_phrase, named_sounds, sound_phrase
from eureka.training.speech_synthesis import Synthesizer, random_test_voice, trim_and_level
from eureka.training.text_generator import TextGenerator, with_punctuation

SPEECH_KIND = "speech"
"""Kind of every speaking event: who speaks is judged by its own row."""

SCENE_SPEECH_SUBSETS = ("speechocean762", "coffee_orders")
MAX_SCENE_SPEECH_SECONDS = 4.5
SPEECH_SHARE = 0.4
"""Share of scenes in which one of the two clips is speech."""


def event_kind(phrase: str) -> str:
    """What a phrase is counted as: the one of the ten sounds that it names, speech, or itself."""
    named = named_sounds(phrase)
    if len(named) == 1:
        return sound_phrase(next(iter(named)))
    return SPEECH_KIND if is_speech_phrase(phrase) else phrase


def timed_events(events: Iterable[Event]) -> tuple[TimedEvent, ...]:
    """Events as they are judged."""
    return tuple(TimedEvent(event_kind(e.phrase), e.start_seconds, e.end_seconds) for e in events)


@dataclass(frozen=True, slots=True)
class _Material:
    """Rows of which scenes are composed, and where their audio is."""

    folder: Path
    sounds: Sequence[ManifestClip]
    speech: Sequence[ManifestClip]

    def clip(self, row: ManifestClip) -> SceneClip:
        return scene_clip_of_pcm(decode_all(self.folder / row.path), row)


def scenes(data_folder: Path, split: str, count: int, seed: int) -> list[EvaluationClip]:
    """Scenes of two clips each: two sounds of different labels, or a sound and somebody who speaks."""
    rows = read_manifest(data_folder, split)
    material = _Material(
        data_folder,
        [row for row in rows if row.subset == "esc10"],
        [
            row
            for row in rows
            if row.subset in SCENE_SPEECH_SUBSETS and row.duration_seconds <= MAX_SCENE_SPEECH_SECONDS
        ],
    )
    if not material.sounds:
        return []
    draw = np.random.default_rng([seed, 4])
    return [_scene(material, draw, number) for number in range(count)]


def _scene(material: _Material, draw: np.random.Generator, number: int) -> EvaluationClip:
    first = material.sounds[int(draw.integers(len(material.sounds)))]
    if material.speech and draw.random() < SPEECH_SHARE:
        second = material.speech[int(draw.integers(len(material.speech)))]
    else:
        others = [row for row in material.sounds if row.label != first.label] or list(material.sounds)
        second = others[int(draw.integers(len(others)))]
    scene = compose_pcm_scene([material.clip(first), material.clip(second)], draw, SceneRules())
    return EvaluationClip(
        clip_id=f"scene-{number}",
        pcm=scene.pcm,
        text=scene.words,
        events=timed_events(scene.events),
        parts=(first.path, second.path),
        caption=scene.caption,
    )


def synthetic_speech(count: int, seed: int) -> list[EvaluationClip]:
    """Sentences set aside from training in voices set aside from training.

    Raises:
        NotFoundError: a speech engine is not installed.
    """
    draw = np.random.default_rng([seed, 5])
    generator, synthesizer = TextGenerator(), Synthesizer()
    clips = []
    for number in range(count):
        text = generator.draw_test(draw)
        speech = synthesizer.speak(with_punctuation(text.text, draw), random_test_voice(draw))
        pcm = trim_and_level(speech, draw).pcm
        clips.append(
            EvaluationClip(f"synthetic-{number}-{text.kind}", pcm, text.text, speaker=speech.voice.name)
        )
    return clips
