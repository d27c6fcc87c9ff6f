"""Items of a data folder: its train clips, then scenes composed of them. No other split is ever opened."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from eureka.audio.decode import decode_all
from eureka.dataflux.describe import with_text
from eureka.dataflux.items import Item, audio_digest
from eureka.dataflux.recipe import FluxRecipe, SceneConfig
from eureka.dataflux.records import Caption
from eureka.dataflux.taxonomy import load_taxonomy
from eureka.errors import InvalidInputError
from eureka.training.manifest import MANIFEST_NAME, ManifestClip, read_manifest
from eureka.training.questions import slot_words
from eureka.training.real_pack import plain_words
from eureka.training.scenes import (
    PcmScene,
    SceneClip,
    SceneRules,
    compose_pcm_scene,
    scene_clip_of_pcm,
)
from eureka.training.sound_labels import is_continuous_phrase, sound_phrase
from eureka.types import SAMPLE_RATE_HZ, Pcm

CACHED_CLIPS = 600
"""Decoded clips that a process keeps for scenes: 5 s each are 0.5 MiB with their mels."""

MAX_SCENE_SPEECH_SECONDS = 4.5
"""Longer speech leaves no room for anything else."""

_SCENES = 1
_CLIPS = 2
"""Streams of random numbers."""

Weights = Mapping[str, float]
"""Phrase -> how much more often than others it is drawn."""


class FolderSource:
    """The items of one recipe over one data folder.

    Args:
        folder: with manifest.jsonl.
        recipe: says which clips and how many scenes.
        weights: phrases that scenes hold more often, from an evaluation.

    Raises:
        NotFoundError: there is no manifest.
        InvalidInputError: a subset has no train clip, or scenes have no material.
    """

    def __init__(self, folder: Path, recipe: FluxRecipe, weights: Weights | None = None) -> None:
        self._folder = folder
        self._rows = [row for row in read_manifest(folder, "train") if row.subset != "eureka_examples"]
        self._seed, self._scenes = recipe.seed, recipe.scenes
        self._clips = _chosen(self._rows, recipe)
        self._maker = SceneMaker(self._rows, recipe.scenes, weights or {}) if recipe.scenes.count else None
        manifest = hashlib.sha256((folder / MANIFEST_NAME).read_bytes()).hexdigest()
        self._identity = {
            "manifest": manifest,
            "seed": recipe.seed,
            "clips": dict(sorted(recipe.clips.subsets.items())),
            "scenes": asdict(recipe.scenes),
            "weights": dict(sorted((weights or {}).items())),
        }
        self._by_path = {row.path: row for row in self._rows}
        self._opened = lru_cache(CACHED_CLIPS)(self._decoded)

    @property
    def identity(self) -> Any:
        """All that the items depend on."""
        return self._identity

    @property
    def rows(self) -> list[ManifestClip]:
        """All train rows."""
        return self._rows

    def __len__(self) -> int:
        return len(self._clips) + self._scenes.count

    def open(self, number: int) -> Item:
        """Item `number`, its audio loaded."""
        if number < len(self._clips):
            return self._clip_item(number)
        scene, rows = self._scene(number)
        return self._item(number, "scene", scene.pcm, _scene_record(scene, rows), rows)

    def load(self, number: int) -> Pcm:
        """The audio of item `number`."""
        if number < len(self._clips):
            pcm = self._decode(self._clips[number]).pcm
            assert pcm is not None, "a clip of samples keeps them"
            return pcm
        return self._scene(number)[0].pcm

    def _clip_item(self, number: int) -> Item:
        row = self._clips[number]
        material = self._decode(row)
        assert material.pcm is not None
        return self._item(number, "clip", material.pcm, _clip_record(row, material), (row,))

    def _item(
        self, number: int, kind: str, pcm: Pcm, record: Caption, rows: tuple[ManifestClip, ...]
    ) -> Item:
        plain = Caption.of_plain(with_text(record).to_plain())
        source = tuple(dict.fromkeys(_credit(row) for row in rows))
        paths = tuple(row.path for row in rows)
        return Item(number, kind, audio_digest(pcm), plain, paths, source, lambda: pcm)

    def _decode(self, row: ManifestClip) -> SceneClip:
        return self._opened(row.path)

    def _decoded(self, path: str) -> SceneClip:
        return scene_clip_of_pcm(decode_all(self._folder / path), self._by_path[path])

    def _scene(self, number: int) -> tuple[PcmScene, tuple[ManifestClip, ...]]:
        assert self._maker is not None
        draw = np.random.default_rng([self._seed, _SCENES, number - len(self._clips)])
        return self._maker.draw(draw, self._decode)


class SceneMaker:
    """Draws scenes whose sounds can be told apart: no two phrases that are alike, at most one speaker.

    Args:
        rows: train clips.
        config: what scenes are made of.
        weights: how much more often a phrase is drawn.

    Raises:
        InvalidInputError: no clip of the sound subsets.
    """

    def __init__(self, rows: list[ManifestClip], config: SceneConfig, weights: Weights) -> None:
        self._config = config
        self._rules = SceneRules(seconds=(config.seconds[0], config.seconds[1]), overlap_probability=0.25)
        self._sounds: dict[str, list[ManifestClip]] = {}
        for row in rows:
            if row.subset in config.sounds and row.label:
                self._sounds.setdefault(sound_phrase(row.label), []).append(row)
        if not self._sounds:
            raise InvalidInputError(f"no train clip of {config.sounds} has a label; scenes have no material")
        self._phrases = sorted(self._sounds)
        self._lasting = [phrase for phrase in self._phrases if is_continuous_phrase(phrase)]
        self._weights = np.array([weights.get(phrase, 1.0) for phrase in self._phrases])
        self._speech = [
            [row for row in rows if row.subset == subset and row.duration_seconds <= MAX_SCENE_SPEECH_SECONDS]
            for subset in config.speech
        ]
        self._speech = [group for group in self._speech if group]

    def draw(self, rng: np.random.Generator, decode: Any) -> tuple[PcmScene, tuple[ManifestClip, ...]]:
        """A scene and the rows of its clips, the background last."""
        chances = np.array(self._config.num_sounds)
        count = 1 + int(rng.choice(len(chances), p=chances / chances.sum()))
        heard: list[str] = []
        rows: list[ManifestClip | None] = []
        if self._speech and rng.random() < self._config.speech_probability:
            group = self._speech[int(rng.integers(len(self._speech)))]
            spoken = group[int(rng.integers(len(group)))]
            rows.append(spoken)
            heard += [event.phrase for event in decode(spoken).events][:1]
        rows += [self._draw(rng, heard, self._phrases) for _ in range(count)]
        background = None
        if self._lasting and rng.random() < self._config.background_probability:
            background = self._draw(rng, heard, self._lasting)
        found = [row for row in rows if row is not None]
        lasting = None if background is None else decode(background)
        scene = compose_pcm_scene([decode(row) for row in found], rng, self._rules, None, lasting)
        return scene, (*found, *([background] if background is not None else []))

    def _draw(self, rng: np.random.Generator, heard: list[str], phrases: list[str]) -> ManifestClip | None:
        """A clip whose phrase is unlike all that is heard already; it is added to `heard`."""
        taxonomy = load_taxonomy()
        fitting = [p for p in phrases if all(taxonomy.are_distinct(p, other) for other in heard)]
        if not fitting:
            return None
        weights = np.array([self._weights[self._phrases.index(p)] for p in fitting])
        phrase = fitting[int(rng.choice(len(fitting), p=weights / weights.sum()))]
        heard.append(phrase)
        clips = self._sounds[phrase]
        return clips[int(rng.integers(len(clips)))]


def load_later(source: FolderSource, number: int) -> Any:
    """A function that loads the audio of an item."""
    return partial(source.load, number)


def _chosen(rows: list[ManifestClip], recipe: FluxRecipe) -> list[ManifestClip]:
    """The clips of the recipe, subsets by name, clips in a drawn order."""
    found: list[ManifestClip] = []
    for number, (subset, count) in enumerate(sorted(recipe.clips.subsets.items())):
        own = [row for row in rows if row.subset == subset]
        if not own:
            raise InvalidInputError(f"no train clip of subset {subset!r}", reason="INVALID_RECIPE")
        order = np.random.default_rng([recipe.seed, _CLIPS, number]).permutation(len(own))
        found += [own[int(index)] for index in order[: count or len(own)]]
    return found


def _clip_record(row: ManifestClip, clip: SceneClip) -> Caption:
    assert clip.pcm is not None
    words = clip.words if clip.words is None else plain_words(clip.words)
    slots = {slot_words(name): value for name, value in row.slots.items()}
    return Caption("", len(clip.pcm) / SAMPLE_RATE_HZ, clip.events, words, "", slots)


def _scene_record(scene: PcmScene, rows: tuple[ManifestClip, ...]) -> Caption:
    """What is known of a scene; its background is the event that lasts from end to end."""
    seconds = len(scene.pcm) / SAMPLE_RATE_HZ
    num_clips = 1 + max(placement.clip for placement in scene.placements)
    last = rows[-1]
    has_background = _lies_under_all(scene, num_clips - 1, seconds)
    background = sound_phrase(last.label) if has_background and last.label else ""
    words = scene.words if scene.words is None else plain_words(scene.words)
    slots = {slot_words(name): value for row in rows for name, value in row.slots.items()}
    return Caption("", seconds, scene.events, words, background, slots)


def _lies_under_all(scene: PcmScene, clip: int, seconds: float) -> bool:
    placed = [p for p in scene.placements if p.clip == clip]
    covered = sum(p.num_frames for p in placed) / 100
    return len({p.clip for p in scene.placements}) > 1 and covered >= seconds - 0.01


def _credit(row: ManifestClip) -> str:
    return f"{row.source} ({row.license})" + (f", {row.author}" if row.author else "")
