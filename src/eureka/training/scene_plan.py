"""What lies where in a scene: the rules, the material and the drawn plan; rendering is in `scenes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eureka.audio.log_mel import FRAMES_PER_AUDIO_TOKEN
from eureka.errors import InvalidInputError
from eureka.training.activity import FRAMES_PER_SECOND, frame_power
from eureka.training.events import Event
from eureka.training.sound_labels import is_continuous_phrase, is_speech_phrase
from eureka.types import Pcm

REFERENCE_POWER = 0.5
"""log10 of the mean mel power that a clip at 0 dB gets: the median of the recorded speech clips."""

LOUD_DEPTH = 1e-3
"""Frames down to 30 dB below the loud ones count when a clip's level is measured."""

SPEECH_MARGIN_FRAMES = 12
"""Kept on both sides of speech: its first and last sounds may be more than 30 dB below the vowels."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SceneRules:
    """How scenes are laid out; ranges are drawn uniformly.

    Attributes:
        seconds: length of a scene where none is asked for.
        piece_seconds: length of the piece cut from a continuous sound.
        part_seconds: longest stretch of parts taken from a sound that comes and goes.
        overlap_probability: how often clips may sound at the same time.
        sound_db: level of a sound.
        lasting_db: level of a lasting sound beside others, lower so that it does not cover them.
        sound_beside_speech_db: level of a sound in a scene with speech.
        speech_db: level of speech.
        background_db: level of the background, under everything and over the whole scene.
    """

    seconds: Range = (3.0, 10.0)
    piece_seconds: Range = (1.2, 4.0)
    part_seconds: float = 4.0
    overlap_probability: float = 0.35
    gap_seconds: float = 0.2
    sound_db: Range = (-6.0, 6.0)
    lasting_db: Range = (-14.0, -2.0)
    sound_beside_speech_db: Range = (-14.0, 2.0)
    speech_db: Range = (-3.0, 5.0)
    background_db: Range = (-18.0, -9.0)


@dataclass(frozen=True, slots=True)
class SceneClip:
    """Material of a scene.

    Attributes:
        mel: raw log10 mel powers (F, M).
        events: what is heard in the clip; empty is refused.
        words: what is said; empty where nobody speaks, None where unknown.
        phones: rows (phone, first frame, end frame) at 100 frames/s, None where unknown.
        pcm: samples of the clip, for scenes of samples.
    """

    mel: NDArray[np.floating[Any]]
    events: tuple[Event, ...]
    words: str | None = ""
    phones: NDArray[np.int32] | None = None
    pcm: Pcm | None = None

    @property
    def is_speech(self) -> bool:
        """Whether somebody speaks in it."""
        return any(is_speech_phrase(event.phrase) for event in self.events)

    @property
    def num_frames(self) -> int:
        """Length in mel frames."""
        return len(self.mel)


@dataclass(frozen=True, slots=True)
class Placement:
    """A piece of a clip in a scene, in mel frames; `gain` is added to the log10 power."""

    clip: int
    first_frame: int
    num_frames: int
    at_frame: int
    gain: float


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """What lies where in a scene: `clips` with the background last, total length in mel frames by 8."""

    clips: tuple[SceneClip, ...]
    placements: tuple[Placement, ...]
    num_frames: int


def plan_scene(
    clips: Sequence[SceneClip],
    rng: np.random.Generator,
    rules: SceneRules,
    num_frames: int | None,
    background: SceneClip | None,
) -> ScenePlan:
    """Draw what is cut of each clip, where it lies and how loud it is; see `compose_scene`."""
    if not clips or not all(clip.events for clip in [*clips, *([background] if background else [])]):
        raise InvalidInputError("a scene needs at least one clip, and each must say what is heard in it")
    longest = (num_frames or round(rules.seconds[1] * FRAMES_PER_SECOND)) - FRAMES_PER_AUDIO_TOKEN
    order = rng.permutation(len(clips))
    pieces = [_draw_piece(int(index), clips[index], longest, rules, rng) for index in order]
    may_overlap = bool(rng.random() < rules.overlap_probability)
    total = num_frames or _draw_length(pieces, may_overlap, rules, rng)
    placed = _lay_out(pieces, total, may_overlap, rules, rng)
    placements = []
    for piece in placed:
        clip = clips[piece.clip]
        level_db = _draw_level(clip, clips, rules, rng)
        placements.append(replace(piece, gain=_level_gain(clip, level_db)))
    if background is not None:
        placements += _lay_background(len(clips), background, total, rules, rng)
    material = (*clips, *([background] if background is not None else []))
    return ScenePlan(material, tuple(placements), total)


def _draw_piece(
    index: int, clip: SceneClip, longest: int, rules: SceneRules, rng: np.random.Generator
) -> Placement:
    """What is taken of a clip: speech whole, a stretch of parts, or a piece of a lasting sound."""
    if clip.is_speech:
        first, last = _speech_frames(clip, longest)
        return Placement(index, first, last - first, 0, 0.0)
    first = round(clip.events[0].start_seconds * FRAMES_PER_SECOND)
    last = min(clip.num_frames, round(clip.events[-1].end_seconds * FRAMES_PER_SECOND))
    if is_continuous_phrase(clip.events[0].phrase):
        wanted = round(rng.uniform(*rules.piece_seconds) * FRAMES_PER_SECOND)
        length = max(1, min(wanted, longest, last - first))
        first += int(rng.integers(last - first - length + 1))
        last = first + length
    else:
        most = min(longest, round(rules.part_seconds * FRAMES_PER_SECOND))
        first, last = _draw_parts(clip, most, rng)
    return Placement(index, first, max(1, last - first), 0, 0.0)


def _speech_frames(clip: SceneClip, longest: int) -> tuple[int, int]:
    """All speech of a clip with a margin for its quiet first and last sounds."""
    first = round(clip.events[0].start_seconds * FRAMES_PER_SECOND) - SPEECH_MARGIN_FRAMES
    last = round(clip.events[-1].end_seconds * FRAMES_PER_SECOND) + SPEECH_MARGIN_FRAMES
    first, last = max(0, first), min(clip.num_frames, last)
    if last - first > longest:
        raise InvalidInputError(f"speech of {last - first} frames is longer than the {longest} of the scene")
    return first, last


def _draw_parts(clip: SceneClip, longest: int, rng: np.random.Generator) -> tuple[int, int]:
    """A run of a sound's events, from a drawn one up to `longest` frames on."""
    begin = clip.events[int(rng.integers(len(clip.events)))].start_seconds
    first = round(begin * FRAMES_PER_SECOND)
    ends = [round(e.end_seconds * FRAMES_PER_SECOND) for e in clip.events if e.start_seconds >= begin]
    fitting = [end for end in ends if end - first <= longest]
    last = fitting[int(rng.integers(len(fitting)))] if fitting else first + longest
    return first, min(last, clip.num_frames)


def _draw_length(
    pieces: list[Placement], may_overlap: bool, rules: SceneRules, rng: np.random.Generator
) -> int:
    """Scene length in frames, by 8: the pieces end to end with room, or less where they may overlap."""
    shortest, longest = (round(s * FRAMES_PER_SECOND) for s in rules.seconds)
    needed = max(piece.num_frames for piece in pieces)
    gaps = round(rules.gap_seconds * FRAMES_PER_SECOND) * (len(pieces) - 1)
    end_to_end = sum(piece.num_frames for piece in pieces) + gaps
    wanted = round(end_to_end * rng.uniform(*((0.6, 1.2) if may_overlap else (1.0, 1.5))))
    frames = min(max(wanted, needed + FRAMES_PER_AUDIO_TOKEN, shortest), longest)
    return -(-frames // FRAMES_PER_AUDIO_TOKEN) * FRAMES_PER_AUDIO_TOKEN


def _lay_out(
    pieces: list[Placement], total: int, may_overlap: bool, rules: SceneRules, rng: np.random.Generator
) -> list[Placement]:
    """Pieces one after the other with drawn pauses, or anywhere when they may or must overlap."""
    gap = round(rules.gap_seconds * FRAMES_PER_SECOND)
    slack = total - sum(piece.num_frames for piece in pieces) - gap * (len(pieces) - 1)
    if may_overlap or slack < 0:
        ends = [max(1, total - piece.num_frames + 1) for piece in pieces]
        return [replace(p, at_frame=int(rng.integers(end))) for p, end in zip(pieces, ends, strict=True)]
    shares = np.floor(rng.dirichlet(np.ones(len(pieces) + 1)) * slack).astype(int)
    placed = []
    at = 0
    for piece, share in zip(pieces, shares, strict=False):
        at += int(share)
        placed.append(replace(piece, at_frame=at))
        at += piece.num_frames + gap
    return placed


def _lay_background(
    index: int, clip: SceneClip, total: int, rules: SceneRules, rng: np.random.Generator
) -> list[Placement]:
    """The background from start to end, its clip repeated as often as needed."""
    gain = _level_gain(clip, rng.uniform(*rules.background_db))
    first = round(clip.events[0].start_seconds * FRAMES_PER_SECOND)
    end = min(clip.num_frames, round(clip.events[-1].end_seconds * FRAMES_PER_SECOND))
    begin = int(rng.integers(first, end))
    placements = []
    at = 0
    while at < total:
        length = min(end - begin, total - at)
        placements.append(Placement(index, begin, length, at, gain))
        at, begin = at + length, first
    return placements


def _draw_level(
    clip: SceneClip, beside: Sequence[SceneClip], rules: SceneRules, rng: np.random.Generator
) -> float:
    """Level in dB of a clip in a scene of all clips `beside`, itself among them."""
    if clip.is_speech:
        level = rules.speech_db
    elif len(beside) > 1 and is_continuous_phrase(clip.events[0].phrase):
        level = rules.lasting_db
    else:
        has_speech = any(other.is_speech for other in beside)
        level = rules.sound_beside_speech_db if has_speech else rules.sound_db
    return float(rng.uniform(*level))


def _level_gain(clip: SceneClip, level_db: float) -> float:
    """Gain in log10 power that brings the loud frames of a clip to a level over the reference."""
    power = frame_power(clip.mel)
    loud = power[power > np.percentile(power, 95) * LOUD_DEPTH]
    measured = float(np.log10(max(loud.mean() if loud.size else 0.0, 1e-10)))
    return REFERENCE_POWER + level_db / 10 - measured
